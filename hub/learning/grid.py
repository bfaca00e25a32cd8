"""What carries the messages of rounds to agents and their answers back."""

from collections.abc import Collection, Mapping
from typing import Protocol


class Grid(Protocol):
    """The agents that can be asked."""

    def reachable(self) -> Collection[str]:
        """The agent ids that are connected now."""

    async def exchange(self, messages: Mapping[str, bytes], timeout_seconds: float) -> dict[str, bytes]:
        """Sends each agent its message and returns the answers that came in time (others are missing)."""
