"""One file that chunks are appended to, each behind its digest and size: a file for each costs more to make than to fill."""

import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.identity.files import sync_folder
from contract.release import MAX_CHUNK_BYTES

_HEAD = struct.Struct(">32sI")
"""SHA-256 of the chunk, and its size in bytes."""


@dataclass(frozen=True, slots=True)
class _Place:
    offset: int
    size_bytes: int


class PackFile:
    """Chunks by their digests. What was appended is on the disk for good after the next `sync`.

    A power cut can tear what was not synced: the end is cut off where no record can be, and whoever reads a chunk compares its digest.

    Args:
        path: the file; it is made with the first chunk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._syncing = threading.Lock()
        self._places: dict[str, _Place] = {}
        self._unsynced: dict[str, _Place] = {}
        self._synced_bytes = self._end = 0
        self._read_places()

    def read(self, sha256: str) -> bytes | None:
        """Returns what was appended under a digest, which may be damaged; None: nothing was, or it cannot be read."""
        place = self._places.get(sha256)
        if place is None:
            return None
        try:
            with self._path.open("rb") as file:
                return os.pread(file.fileno(), place.size_bytes, place.offset)
        except OSError:
            return None

    def append(self, sha256: str, content: bytes | memoryview) -> None:
        """Adds a chunk; what cannot be written whole leaves nothing.

        Raises:
            OSError: the disk does not take it.
        """
        with self._lock, self._opened() as file:
            place = _Place(self._end + _HEAD.size, len(content))
            try:
                _write(file, _HEAD.pack(bytes.fromhex(sha256), len(content)), self._end)
                _write(file, content, place.offset)
            except OSError:
                os.ftruncate(file, self._end)
                raise
            self._end = place.offset + place.size_bytes
            self._places[sha256] = self._unsynced[sha256] = place

    def sync(self) -> list[str]:
        """Brings to the disk what was appended.

        Returns:
            the digests of what was not synced before.

        Raises:
            OSError: what was not synced is gone.
        """
        with self._syncing:
            with self._lock:
                end, synced = self._end, list(self._unsynced)
            if synced:
                self._sync_file()
                with self._lock:
                    self._synced_bytes = end
                    self._unsynced = {digest: place for digest, place in self._unsynced.items() if place.offset > end}
        return synced

    def clear(self) -> None:
        """Removes everything.

        Raises:
            OSError: it cannot be removed.
        """
        with self._syncing, self._lock:
            self._path.unlink(missing_ok=True)
            self._places, self._unsynced = {}, {}
            self._synced_bytes = self._end = 0

    def _sync_file(self) -> None:
        try:
            with self._opened() as file:
                os.fsync(file)
            sync_folder(self._path.parent)
        except OSError:
            with self._lock:
                self._places = {digest: place for digest, place in self._places.items() if digest not in self._unsynced}
                self._unsynced, self._end = {}, self._synced_bytes
            raise

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _read_places(self) -> None:
        """Finds what an earlier process appended. Whether that was synced is not known."""
        try:
            with self._path.open("rb") as file:
                whole_bytes = os.fstat(file.fileno()).st_size
                while (head := os.pread(file.fileno(), _HEAD.size, self._end)) and len(head) == _HEAD.size:
                    digest, size_bytes = _HEAD.unpack(head)
                    place = _Place(self._end + _HEAD.size, size_bytes)
                    if not 1 <= size_bytes <= MAX_CHUNK_BYTES or place.offset + size_bytes > whole_bytes:
                        return
                    self._places[digest.hex()] = self._unsynced[digest.hex()] = place
                    self._end = place.offset + size_bytes
        except FileNotFoundError:
            return


def _write(file: int, content: bytes | memoryview, offset: int) -> None:
    left = memoryview(content)
    while left:
        written = os.pwrite(file, left, offset)
        left, offset = left[written:], offset + written
