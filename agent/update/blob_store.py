"""Blobs that were fetched and are not yet staged, and chunks that a slot or another bundle holds already.

Nothing here is trusted: every chunk is compared with its digest when it is read. So blobs need no syncing; one that a power cut has torn
is found, removed, and fetched again.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import structlog

from agent.update.slot_files import inside
from agent.update.slot_record import make_synced_folder
from contract.blobs import MAX_STORED_BYTES, unpack
from contract.errors import InvalidRequest, Reason, SeawallError
from contract.release import Chunk, Index, blob_path

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chunk lies in a file."""

    path: Path
    offset: int


def places(bundle: Path, index: Index) -> dict[str, Place]:
    """Returns where the chunks of an index should lie in a folder with files of the same names: by digest.

    Args:
        bundle: a slot's, by the index of what it holds; or any bundle's, by the index of what is wanted: what is alike is found.
        index: of the files.
    """
    found: dict[str, Place] = {}
    for file in index.files:
        offset = 0
        for chunk in file.chunks:
            found.setdefault(chunk.sha256, Place(inside(bundle, file.name), offset))
            offset += chunk.size_bytes
    return found


class BlobStore:
    """The store.

    Args:
        folder: of the fetched blobs.
        elsewhere: where chunks lie that need no fetching.
    """

    def __init__(self, folder: Path, elsewhere: Iterable[dict[str, Place]] = ()) -> None:
        self._folder = folder
        self._elsewhere = tuple(elsewhere)

    def path(self, digest: str) -> Path:
        """Returns where a blob lies."""
        return self._folder / blob_path(digest)

    def put(self, chunk: Chunk, stored: bytes) -> None:
        """Keeps a blob, as it travels.

        Raises:
            InvalidRequest: RELEASE_INVALID, it is not that chunk.
            OSError: the disk does not take it.
        """
        unpack(stored, chunk.sha256, chunk.size_bytes)
        path = self.path(chunk.sha256)
        if not path.parent.is_dir():
            make_synced_folder(path.parent)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
        fresh.write_bytes(stored)
        fresh.replace(path)

    def find(self, chunk: Chunk) -> bytes | None:
        """Returns a chunk's plain bytes, compared with its digest; None where it is not here."""
        content = self._fetched(chunk)
        for known in self._elsewhere:
            if content is None and chunk.sha256 in known:
                content = _cut_out(known[chunk.sha256], chunk)
        return content

    def read(self, chunk: Chunk) -> bytes:
        """Returns a chunk's plain bytes.

        Raises:
            InvalidRequest: RELEASE_INVALID, it is not here, or is damaged: it is to be fetched.
        """
        content = self.find(chunk)
        if content is None:
            raise InvalidRequest(Reason.RELEASE_INVALID, f"The blob {chunk.sha256} is not here whole: fetch it again.")
        return content

    def missing(self, index: Index) -> tuple[Chunk, ...]:
        """Returns the chunks that are still to be fetched."""
        return tuple(chunk for chunk in index.chunks().values() if self.find(chunk) is None)

    def _fetched(self, chunk: Chunk) -> bytes | None:
        path = self.path(chunk.sha256)
        try:
            with path.open("rb") as file:
                return unpack(file.read(MAX_STORED_BYTES + 1), chunk.sha256, chunk.size_bytes)
        except FileNotFoundError:
            return None
        except (OSError, SeawallError) as error:
            _log.warning("a blob is damaged, and is fetched again", digest=chunk.sha256, error=str(error))
            return None


def _cut_out(place: Place, chunk: Chunk) -> bytes | None:
    try:
        with place.path.open("rb") as file:
            file.seek(place.offset)
            content = file.read(chunk.size_bytes)
    except OSError as error:
        _log.info("a chunk cannot be read where it lies, and is fetched", file=place.path.name, error=str(error))
        return None
    return content if sha256(content).hexdigest() == chunk.sha256 else None
