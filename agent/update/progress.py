"""How far a download is, for whoever wants to show it: a bar, the hub, metrics."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_LOOKED_BACK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a download.

    Args:
        done_bytes: of the version, that are here and verified.
        total_bytes: of the version.
        received_bytes: that came over the link in this download.
        bytes_per_second: over the link, of late.
        waiting: why nothing is fetched now; empty: it is.
    """

    done_bytes: int
    total_bytes: int
    received_bytes: int
    bytes_per_second: float
    waiting: str = ""


class Meter:
    """Counts a download, and tells.

    Args:
        done_bytes: that were here at the beginning.
        total_bytes: of the version.
        tell: is given each new moment.
        clock: seconds that pass.
    """

    def __init__(
        self, done_bytes: int, total_bytes: int, tell: Callable[[Progress], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._done_bytes = done_bytes
        self._total_bytes = total_bytes
        self._tell = tell
        self._clock = clock
        self._received_bytes = 0
        self._lately: deque[tuple[float, int]] = deque([(clock(), 0)])
        self.waiting("")

    def received(self, size_bytes: int) -> None:
        """Counts bytes that came over the link."""
        self._received_bytes += size_bytes
        now = self._clock()
        self._lately.append((now, self._received_bytes))
        while len(self._lately) > 2 and self._lately[1][0] < now - _LOOKED_BACK_SECONDS:
            self._lately.popleft()

    def verified(self, size_bytes: int) -> None:
        """Counts bytes of the version that are now here."""
        self._done_bytes += size_bytes
        self.waiting("")

    def waiting(self, why: str) -> None:
        """Says why nothing is fetched; empty: it is."""
        since, before_bytes = self._lately[0]
        seconds = self._lately[-1][0] - since
        rate = (self._received_bytes - before_bytes) / seconds if seconds > 0 else 0.0
        self._tell(Progress(self._done_bytes, self._total_bytes, self._received_bytes, rate, why))
