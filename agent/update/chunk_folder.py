"""The chunks that are here already: those that were fetched, and those in the files of versions that are installed."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from agent.identity.files import sync_folder
from agent.update.pack_file import PackFile
from contract.blobs import MAX_STORED_BYTES
from contract.errors import NotPossibleNow, Reason, Unavailable
from contract.release import Chunk, Index, IndexFile

PACK = "pack"
_PART = ".part"


class Holder(Protocol):
    """Something that has chunks."""

    def find(self, chunk: Chunk) -> bytes | None:
        """Returns a chunk whose digest is right; None: it is not here, or damaged."""


class HeldFiles:
    """The chunks in the files of a version that is installed.

    Args:
        folder: of its files.
        index: that was verified when they were installed.
    """

    def __init__(self, folder: Path, index: Index) -> None:
        self._folder = folder
        self._places: dict[str, tuple[str, int]] = {}
        for file in index.files:
            offset = 0
            for chunk in file.chunks:
                self._places.setdefault(chunk.sha256, (file.name, offset))
                offset += chunk.size_bytes

    def find(self, chunk: Chunk) -> bytes | None:
        """See Holder."""
        if chunk.sha256 not in self._places:
            return None
        name, offset = self._places[chunk.sha256]
        try:
            with (self._folder / name).open("rb") as file:
                return _checked(os.pread(file.fileno(), chunk.size_bytes, offset), chunk)
        except OSError:  # not here, or not to be read: it is fetched
            return None


class ChunkFolder:
    """What was fetched: the chunks in one file, and beside it, each in a file of its own, what there is of those that were cut off.

    Chunks are written as they come, and synced many at a time. A power cut can leave one torn: whoever finds a chunk compares its
    digest, so that it is as if it were not there.

    Args:
        folder: made where it is missing.
        spare_bytes: that stay free on its disk, for answers and logs.
    """

    def __init__(self, folder: Path, spare_bytes: int = 64 * 1024 * 1024) -> None:
        self._folder = folder
        self._spare_bytes = spare_bytes
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._pack = PackFile(folder / PACK)

    def find(self, chunk: Chunk) -> bytes | None:
        """See Holder."""
        return _checked(self._pack.read(chunk.sha256), chunk)

    def read(self, file: IndexFile) -> bytes:
        """Returns a small file whose chunks were all fetched.

        Raises:
            Unavailable: STORE_UNAVAILABLE, one can no longer be read.
        """
        pieces = [self.find(chunk) for chunk in file.chunks]
        whole = b"".join(piece for piece in pieces if piece is not None)
        if len(whole) != file.size_bytes:
            raise Unavailable(Reason.STORE_UNAVAILABLE, "A chunk that was here can no longer be read: look at the disk, then try again.")
        return whole

    def keep(self, chunk: Chunk, content: bytes | memoryview) -> None:
        """Keeps a chunk that was verified. It is on the disk for good after the next `sync`.

        Raises:
            NotPossibleNow: DISK_FULL.
        """
        with _writing(self._folder):
            self._pack.append(chunk.sha256, content)

    def sync(self) -> None:
        """Brings to the disk what was kept since the last time; only then what there was of those chunks is forgotten.

        Raises:
            NotPossibleNow: DISK_FULL. What was to be synced is gone, and is fetched again.
        """
        with _writing(self._folder):
            for digest in self._pack.sync():
                (self._folder / f"{digest}{_PART}").unlink(missing_ok=True)

    def part(self, chunk: Chunk) -> bytes:
        """Returns what there is of a chunk that was cut off, as it is stored at the source."""
        try:
            with (self._folder / f"{chunk.sha256}{_PART}").open("rb") as file:
                return file.read(MAX_STORED_BYTES)
        except OSError:
            return b""

    def keep_part(self, chunk: Chunk, stored: bytes) -> None:
        """Keeps what there is of a chunk, durably.

        Raises:
            NotPossibleNow: DISK_FULL.
        """
        self._write(self._folder / f"{chunk.sha256}{_PART}", stored)

    def drop_part(self, chunk: Chunk) -> None:
        """Forgets what there is of a chunk."""
        with _writing(self._folder):
            (self._folder / f"{chunk.sha256}{_PART}").unlink(missing_ok=True)

    def clear(self) -> None:
        """Removes everything: the version is installed, or nobody wants it."""
        with _writing(self._folder):
            self._pack.clear()
            for path in self._folder.iterdir():
                path.unlink()

    def check_space(self, needed_bytes: int) -> None:
        """Looks whether there is room.

        Raises:
            NotPossibleNow: DISK_FULL, with what is missing.
        """
        with _writing(self._folder):
            free_bytes = shutil.disk_usage(self._folder).free
        if free_bytes < needed_bytes + self._spare_bytes:
            lacking_mb = (needed_bytes + self._spare_bytes - free_bytes) / 1e6
            raise NotPossibleNow(Reason.DISK_FULL, f"The update does not fit on the disk of {self._folder}: make {lacking_mb:.0f} MB free.")

    def _write(self, path: Path, content: bytes) -> None:
        beside = path.with_name(f"{path.name}.new")
        with _writing(self._folder):
            with _whole_or_gone(beside):
                with beside.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                beside.replace(path)
            sync_folder(self._folder)


def _checked(content: bytes | None, chunk: Chunk) -> bytes | None:
    return content if content is not None and hashlib.sha256(content).hexdigest() == chunk.sha256 else None


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = "it is full: make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else f"{error.strerror}: let it be written to"
        raise NotPossibleNow(Reason.DISK_FULL, f"The update cannot be kept in {folder} ({why}). What runs goes on running.") from error


@contextmanager
def _whole_or_gone(path: Path) -> Iterator[None]:
    """Removes a file that could not be written."""
    try:
        yield
    except OSError:
        with suppress(OSError):  # a disk that cannot be written to keeps it; the error that is on its way says so
            path.unlink(missing_ok=True)
        raise
