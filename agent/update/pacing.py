"""When and how fast an update may be fetched: a window of hours, a rate, and not over a link that costs."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from datetime import time as time_of_day
from pathlib import Path

from contract.errors import InvalidRequest, Reason

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_LOOK_SECONDS = 30.0
_BURST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of every day, by the site's own time. It may go over midnight.

    Args:
        begin: included.
        end: not included.
    """

    begin: time_of_day
    end: time_of_day

    @classmethod
    def parse(cls, text: str) -> "Hours":
        """Reads `HH:MM-HH:MM`.

        Raises:
            InvalidRequest: CONFIG_INVALID.
        """
        found = _HOURS.fullmatch(text)
        if found is None or text[:5] == text[6:]:
            raise InvalidRequest(Reason.CONFIG_INVALID, f"{text[:40]!r} are no hours: write them like '22:00-05:00'.")
        numbers = [int(part) for part in found.groups()]
        return cls(time_of_day(numbers[0], numbers[1]), time_of_day(numbers[2], numbers[3]))

    def contain(self, moment: datetime) -> bool:
        """Returns whether a time of the site lies in them."""
        now = moment.time()
        if self.begin < self.end:
            return self.begin <= now < self.end
        return now >= self.begin or now < self.end


@dataclass(frozen=True, slots=True)
class PaceSettings:
    """What fetching is held to.

    Args:
        bytes_per_second: the most, on average; 0: as fast as it comes.
        hours: in which it is fetched; None: always.
        metered_file: while this file is there, the link costs and nothing is fetched; None: it never does. A script of the network
            manager makes and removes it.
    """

    bytes_per_second: float = 0.0
    hours: Hours | None = None
    metered_file: Path | None = None


class Pace:
    """Holds fetching to its settings.

    Args:
        settings: the limits.
        site_clock: returns the time at the site.
        clock: seconds that pass.
        sleep: waits.
    """

    def __init__(
        self,
        settings: PaceSettings,
        site_clock: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._site_clock = site_clock
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()

    @property
    def closed(self) -> str:
        """Why nothing is fetched now; empty: it is."""
        if self._settings.hours is not None and not self._settings.hours.contain(self._site_clock()):
            return "outside its hours"
        if self._settings.metered_file is not None and self._settings.metered_file.exists():
            return "metered link"
        return ""

    async def until_open(self) -> None:
        """Waits until something may be fetched."""
        while self.closed:
            await self._sleep(_LOOK_SECONDS)

    async def spend(self, size_bytes: int) -> None:
        """Waits until so many bytes, which have come, are within the rate."""
        if self._settings.bytes_per_second <= 0:
            return
        now = self._clock()
        self._free_at = max(self._free_at, now - _BURST_SECONDS) + size_bytes / self._settings.bytes_per_second
        if self._free_at > now:
            await self._sleep(self._free_at - now)
