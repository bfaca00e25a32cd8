"""Parts of the week in which agents may be chosen."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from contract.errors import InvalidRequest, Reason
from seawall.hub.v1 import rollout_pb2

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Window:
    """The same hours of some days, in UTC.

    Args:
        days: on which it begins, 1 Monday to 7 Sunday; none: every day.
        begin_minutes: after midnight, included.
        length_minutes: up to a whole day; it may end on the next one.
    """

    days: frozenset[int]
    begin_minutes: int
    length_minutes: int

    @classmethod
    def read(cls, message: rollout_pb2.Window) -> "Window":
        """Reads a window.

        Raises:
            InvalidRequest: FIELD_INVALID.
        """
        if not all(1 <= day <= 7 for day in message.days):
            raise InvalidRequest(Reason.FIELD_INVALID, "A window's days are from 1, Monday, to 7, Sunday.")
        begin, end = _minutes(message.begin), _minutes(message.end)
        return cls(frozenset(message.days), begin, (end - begin - 1) % _DAY_MINUTES + 1)

    def holds(self, now: datetime) -> bool:
        """Says whether a time, in UTC, is within: since a beginning of today, or one of yesterday."""
        minutes = now.hour * 60 + now.minute
        return any(
            (not self.days or (now - timedelta(days=back)).isoweekday() in self.days)
            and 0 <= minutes + back * _DAY_MINUTES - self.begin_minutes < self.length_minutes
            for back in (0, 1)
        )


def is_open(windows: Sequence[Window], now: datetime) -> bool:
    """Says whether one of the windows holds; none are all of the time."""
    return not windows or any(window.holds(now) for window in windows)


def _minutes(text: str) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidRequest(Reason.FIELD_INVALID, f"'{text[:20]}' is no time of a window: write HH:MM, from 00:00 to 23:59, in UTC.")
    return int(match[1]) * 60 + int(match[2])
