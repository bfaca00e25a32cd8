"""Updates from a folder: a USB stick, a share. No link is followed and no path leads out of it."""

import asyncio
import os
import re
import stat
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent.update.sources import MAX_METADATA_BYTES, MAX_TARGET_BYTES, PIECE_BYTES, away, check_stored_size, missing, refuse
from contract.pieces import Piece
from contract.release import blob_path

_PART = re.compile(r"[A-Za-z0-9%_-][A-Za-z0-9%._-]{0,199}")
_MOST_PARTS = 16


class FolderSource:
    """A folder with `metadata`, `targets` and `blobs`.

    Args:
        folder: where they lie; it may itself be a link, nothing in it may.
    """

    offline = True
    streams = 1

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = str(folder)

    async def metadata(self, name: str) -> bytes:
        """See Source."""
        return await asyncio.to_thread(self._read, f"metadata/{name}", MAX_METADATA_BYTES)

    async def target(self, path: str) -> bytes:
        """See Source."""
        return await asyncio.to_thread(self._read, f"targets/{path}", MAX_TARGET_BYTES)

    async def blobs(self, digests: Sequence[str], first_offset: int) -> AsyncGenerator[Piece, None]:
        """See Source."""
        for number, digest in enumerate(digests):
            offset = first_offset if number == 0 else 0
            size_bytes, data = await asyncio.to_thread(self._read_blob, digest, offset)
            for begin in range(0, len(data), PIECE_BYTES):
                yield Piece(digest, offset + begin, size_bytes, data[begin : begin + PIECE_BYTES])

    def _read_blob(self, digest: str, offset: int) -> tuple[int, bytes]:
        with self._open(blob_path(digest)) as file:
            size_bytes = check_stored_size(self.name, os.fstat(file).st_size)
            if offset >= size_bytes:
                refuse(self.name, "it has less of the file than is here already")
            return size_bytes, _read_all(file, size_bytes - offset, offset)

    def _read(self, path: str, most_bytes: int) -> bytes:
        with self._open(path) as file:
            data = _read_all(file, most_bytes + 1, 0)
        if len(data) > most_bytes:
            refuse(self.name, f"{path[:200]} has more than {most_bytes} bytes")
        return data

    @contextmanager
    def _open(self, path: str) -> Iterator[int]:
        parts = path.split("/")
        if len(parts) > _MOST_PARTS or not all(_PART.fullmatch(part) for part in parts):
            refuse(self.name, f"{path[:200]!r} is no path in it")
        handles = []
        try:
            handles.append(os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY))
            for part in parts[:-1]:
                handles.append(os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handles[-1]))
            handles.append(os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=handles[-1]))
            if not stat.S_ISREG(os.fstat(handles[-1]).st_mode):
                refuse(self.name, f"{path[:200]} is no regular file")
            yield handles[-1]
        except FileNotFoundError as error:
            raise missing(self.name, path) from error
        except OSError as error:
            raise away(self.name, f"{path[:200]}: {error.strerror}") from error
        finally:
            for handle in handles:
                os.close(handle)


def _read_all(file: int, most_bytes: int, offset: int) -> bytes:
    pieces = []
    while most_bytes > 0 and (piece := os.pread(file, min(most_bytes, 1 << 20), offset)):
        pieces.append(piece)
        most_bytes -= len(piece)
        offset += len(piece)
    return b"".join(pieces)
