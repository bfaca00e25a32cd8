"""The time that is believed: the clock's, but never before the last time at which trust held."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from agent.identity.files import write_private
from contract.errors import NotPossibleNow, Reason

_FILE = "last-seen"


class ClockFloor:
    """A device without a battery starts in 1970, where nothing has expired yet. What was seen last is on the disk.

    Args:
        folder: where the last time seen is kept.
        clock: returns the time, UTC.
    """

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        self._file = folder / _FILE
        self._clock = clock

    def now(self) -> datetime:
        """Returns the time.

        Raises:
            NotPossibleNow: RELEASE_EXPIRED, the last time seen cannot be read: nothing new is trusted.
        """
        try:
            seen = datetime.fromisoformat(self._file.read_text("ascii").strip()).astimezone(UTC)
        except FileNotFoundError:
            return self._clock()
        except (OSError, ValueError) as error:
            raise NotPossibleNow(
                Reason.RELEASE_EXPIRED, f"{self._file} cannot be read ({error}): look that the clock is right, then remove the file."
            ) from error
        return max(seen, self._clock())

    def raise_to(self, time: datetime) -> None:
        """Keeps a time, durably.

        Only one at which signed metadata was good may be given: a clock that is ahead then cannot lock the device out.

        Args:
            time: UTC.
        """
        write_private(self._file, f"{time.isoformat()}\n".encode("ascii"))
