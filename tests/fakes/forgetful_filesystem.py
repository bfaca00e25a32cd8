"""Mounts a forgetful disk by FUSE, in a process of its own: `python -m tests.fakes.forgetful_filesystem FOLDER SEED`.

It is told what to do by lines on its standard input, and says `done` and a number to each.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.fakes.forgetful_disk import ForgetfulDisk

HOW_TO_GET_IT = "no FUSE here: apt-get install libfuse3-3 fuse3, and run where /dev/fuse may be opened"
ROOT = Path(__file__).parents[2]


class MountedDisk:
    """A disk that is mounted.

    Args:
        folder: where.
        process: that serves it.
    """

    def __init__(self, folder: Path, process: "subprocess.Popen[str]") -> None:
        self.folder = folder
        self._process = process

    def cut_after(self, changes: int) -> None:
        """The power is cut at the change after so many more."""
        self._tell(f"cut-after {changes}")

    def cut(self) -> None:
        """Cuts the power now, if that has not happened, and restores it. Whoever had files open must be dead."""
        self._tell("cut")

    def fill(self, is_full: bool) -> None:
        self._tell(f"full {int(is_full)}")

    def make_read_only(self, is_read_only: bool) -> None:
        self._tell(f"read-only {int(is_read_only)}")

    def changes(self) -> int:
        """Returns how many changes and syncs there have been."""
        return self._tell("changes")

    def is_cut(self) -> bool:
        return bool(self._tell("is-cut"))

    def _tell(self, line: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        word, _, number = self._process.stdout.readline().partition(" ")
        assert word == "done", f"the file system ended at {line!r}"
        return int(number)


def is_there() -> bool:
    """Says whether FUSE can be used."""
    try:
        import mfusepy  # noqa: F401 - raises where libfuse is not installed

        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError:
        return False
    return True


@contextmanager
def mounted_disk(folder: Path, seed: int) -> Iterator[MountedDisk]:
    """Mounts a disk.

    Args:
        folder: made.
        seed: of what power cuts keep; 0: nothing unsynced.
    """
    folder.mkdir()
    command = [sys.executable, "-m", __spec__.name, str(folder), str(seed)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "the file system cannot be mounted"
            yield MountedDisk(folder, process)
        finally:
            subprocess.run(["fusermount3", "-u", "-z", str(folder)], check=True)
            process.wait(10)


def _obey(disk: ForgetfulDisk, lock: threading.Lock) -> None:
    def cut(number: int) -> int:
        if not disk.is_cut:
            disk.cut_power()
        disk.restore_power()
        return number

    def cut_after(number: int) -> int:
        disk.cuts_after = number
        return number

    def fill(number: int) -> int:
        disk.is_full = bool(number)
        return number

    def make_read_only(number: int) -> int:
        disk.is_read_only = bool(number)
        return number

    orders: dict[str, Callable[[int], int]] = {
        "cut": cut,
        "cut-after": cut_after,
        "full": fill,
        "read-only": make_read_only,
        "changes": lambda _: disk.changes,
        "is-cut": lambda _: int(disk.is_cut),
    }
    for line in sys.stdin:
        word, _, number = line.strip().partition(" ")
        with lock:
            print("done", orders[word](int(number or 0)), flush=True)


def main(folder: str, seed: int) -> None:
    """Serves a disk until it is unmounted."""
    import mfusepy

    from tests.fakes.fuse_operations import DiskOperations

    disk, lock = ForgetfulDisk(Random(seed) if seed else None), threading.Lock()
    threading.Thread(target=_obey, args=(disk, lock), daemon=True).start()
    # Nothing of names and sizes is kept by the kernel: after a power cut it would know more than the disk.
    options = {"entry_timeout": 0, "attr_timeout": 0, "negative_timeout": 0, "hard_remove": True, "default_permissions": False}
    mfusepy.FUSE(DiskOperations(disk, lock), folder, foreground=True, nothreads=True, **options)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
