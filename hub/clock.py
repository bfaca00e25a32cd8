"""The time, which everything that needs it is handed."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the time, in UTC."""


def utc_now() -> datetime:
    """The clock of everything but tests."""
    return datetime.now(UTC)
