"""What the conformance test needs of a hub, of the fake one and of the real one alike."""

from typing import Protocol

from agent.identity.files import Identity
from seawall.hub.v1 import command_pb2, group_pb2

AGENT_ID = "plant-7"


class HubUnderTest(Protocol):
    """A hub with one agent, and its operator's hands."""

    identity: Identity

    async def want(self, configuration: group_pb2.Configuration) -> int:
        """Wants something of the agent; returns the generation."""
        ...

    async def applied(self) -> tuple[int, str]:
        """Returns the generation that the agent has applied, and why it refused the last one."""
        ...

    async def tell(self, action: command_pb2.Command.Action.ValueType) -> str:
        """Makes a command; returns its name."""
        ...

    async def command(self, name: str) -> command_pb2.Command:
        """Returns a command."""
        ...

    async def suspend(self) -> None:
        """Shuts the agent out."""
        ...

    async def resume(self) -> None:
        """Lets it in again."""
        ...
