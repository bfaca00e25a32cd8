"""What the kernel asks of a forgetful disk. Importing this needs libfuse."""

import errno
import os
import stat
import threading
from typing import Any

import mfusepy

from tests.fakes.forgetful_disk import File, Folder, ForgetfulDisk, Node, error

_TOTAL_BLOCKS = 1 << 18
_BLOCK_BYTES = 4096


class DiskOperations(mfusepy.Operations):  # type: ignore[misc]  # it has no types
    """A disk, as mfusepy wants it.

    Args:
        disk: the disk.
        lock: held while it is used.
    """

    use_ns = True

    def __init__(self, disk: ForgetfulDisk, lock: threading.Lock) -> None:
        self._disk = disk
        self._lock = lock
        self._open: dict[int, Node] = {}
        self._next = 1

    def init(self, path: str) -> None:
        print("ready", flush=True)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        with self._lock:
            node = self._open[fh] if fh in self._open else self._disk.look_up(path)
            if isinstance(node, File):
                return {"st_mode": stat.S_IFREG | node.mode, "st_nlink": 1, "st_size": len(node.content)}
            return {"st_mode": stat.S_IFDIR | node.mode, "st_nlink": 2}

    def readdir(self, path: str, fh: int) -> list[str]:
        with self._lock:
            return [".", "..", *self._disk.folder(path).entries]

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        with self._lock:
            file = File(mode=stat.S_IMODE(mode))
            self._disk.add(path, file)
            return self._handle(file)

    def open(self, path: str, flags: int) -> int:
        with self._lock:
            if self._disk.is_read_only and flags & (os.O_WRONLY | os.O_RDWR):
                raise error(errno.EROFS)
            file = self._disk.file(path)
            if flags & os.O_TRUNC:  # the kernel leaves that to us
                self._disk.truncate(file, 0)
            return self._handle(file)

    def opendir(self, path: str) -> int:
        with self._lock:
            return self._handle(self._disk.folder(path))

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        with self._lock:
            return bytes(self._file(fh).content[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        with self._lock:
            return self._disk.write(self._file(fh), data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        with self._lock:
            self._disk.truncate(self._disk.file(path) if fh is None else self._file(fh), length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        with self._lock:
            self._disk.sync(self._open[fh])
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        with self._lock:
            self._disk.sync(self._open[fh])
        return 0

    def release(self, path: str, fh: int) -> int:
        self._open.pop(fh, None)
        return 0

    def releasedir(self, path: str, fh: int) -> int:
        return self.release(path, fh)

    def rename(self, old: str, new: str) -> int:
        with self._lock:
            self._disk.rename(old, new)
        return 0

    def unlink(self, path: str) -> int:
        with self._lock:
            self._disk.remove(path, File)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        with self._lock:
            self._disk.add(path, Folder(mode=stat.S_IMODE(mode)))
        return 0

    def rmdir(self, path: str) -> int:
        with self._lock:
            self._disk.remove(path, Folder)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        with self._lock:
            self._disk.look_up(path).mode = stat.S_IMODE(mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        with self._lock:
            free = 0 if self._disk.is_full else _TOTAL_BLOCKS - self._disk.size_bytes() // _BLOCK_BYTES
        return {"f_bsize": _BLOCK_BYTES, "f_frsize": _BLOCK_BYTES, "f_blocks": _TOTAL_BLOCKS, "f_bfree": free, "f_bavail": free}

    def _handle(self, node: Node) -> int:
        self._next += 1
        self._open[self._next] = node
        return self._next

    def _file(self, fh: int) -> File:
        if self._disk.is_cut:
            raise error(errno.EIO)
        file = self._open[fh]
        assert isinstance(file, File)
        return file
