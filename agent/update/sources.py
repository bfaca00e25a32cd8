"""Where updates come from: the hub, an HTTPS mirror, or a folder such as a USB stick. None of them is believed; all of them are bounded."""

from collections.abc import AsyncGenerator, Sequence
from typing import NoReturn, Protocol

from contract.blobs import MAX_STORED_BYTES
from contract.errors import InvalidRequest, NotFound, Reason, Unavailable
from contract.pieces import Piece
from contract.release import MAX_INDEX_BYTES

MAX_METADATA_BYTES = 5_000_000
"""What python-tuf reads of the longest role at most."""

MAX_TARGET_BYTES = MAX_INDEX_BYTES
MAX_BLOBS_AT_ONCE = 256
PIECE_BYTES = 256 * 1024


class Source(Protocol):
    """One place where metadata, targets and blobs are to be had.

    Every method raises NotFound (RELEASE_NOT_FOUND), Unavailable (RELEASE_UNAVAILABLE: try again) or InvalidRequest
    (RELEASE_INVALID: what came is more than may be, or is not what was asked for).
    """

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def offline(self) -> bool:
        """Whether it cannot be expected to have the newest timestamp: a folder that was carried here."""

    @property
    def streams(self) -> int:
        """How many streams of blobs are worth their while: each holds a piece that a cut would lose."""

    async def metadata(self, name: str) -> bytes:
        """Returns a file of `metadata/`, at most MAX_METADATA_BYTES.

        Args:
            name: such as `timestamp.json` or `3.root.json`.
        """

    async def target(self, path: str) -> bytes:
        """Returns a file of `targets/`, at most MAX_TARGET_BYTES.

        Args:
            path: with the digest before the last part.
        """

    def blobs(self, digests: Sequence[str], first_offset: int) -> AsyncGenerator[Piece, None]:
        """Yields the pieces of blobs, one blob after the other.

        Args:
            digests: at most MAX_BLOBS_AT_ONCE.
            first_offset: where to begin in the first.
        """


def missing(source: str, what: str) -> NotFound:
    """Returns the error for what a source does not have."""
    return NotFound(Reason.RELEASE_NOT_FOUND, f"{source} has no {what[:200]}: publish it there, or name another version.")


def away(source: str, why: str) -> Unavailable:
    """Returns the error for a source that does not deliver."""
    return Unavailable(
        Reason.RELEASE_UNAVAILABLE, f"{source} does not deliver the update ({why}): look at the link, then try again. What came is kept."
    )


def refuse(source: str, why: str) -> NoReturn:
    """Raises the error for what may not be taken from a source."""
    raise InvalidRequest(Reason.RELEASE_INVALID, f"What {source} sends cannot be used: {why}. Publish it again.")


def check_stored_size(source: str, size_bytes: int) -> int:
    """Returns the size of a stored blob, having looked that it can be one."""
    if not 1 <= size_bytes <= MAX_STORED_BYTES:
        refuse(source, f"a blob of {size_bytes} bytes, where 1 to {MAX_STORED_BYTES} may be")
    return size_bytes
