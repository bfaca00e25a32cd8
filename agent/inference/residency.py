"""How the weights lie in memory, once they are loaded.

ONNX Runtime packs them into memory of its own, on small pages. All of them are read for every token, so huge pages save TLB misses: 3 % of
a step, and 20 % where memory is fragmented. What it has read of the file to pack it stays mapped, and is not needed again.
"""

import ctypes
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HUGE_PAGE_BYTES = 2 << 20
SMAPS = Path("/proc/self/smaps")

_MADV_DONTNEED = 4
_MADV_COLLAPSE = 25
"""Linux 6.1 and later; see madvise(2). The interpreter's `mmap` has no name for it."""

_HEAD = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p [0-9a-f]+ \S+ \d+ *(.*)")
_FIELD = re.compile(r"(\w+): +(\d+) kB")
_FILLED = 0.9
"""Of a mapping. A huge page takes its whole size: in one that is hardly used, it would cost memory."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """A private, writable part of the address space.

    Args:
        start: its first address.
        end: behind its last one.
        name: of the file; `[heap]` or empty for memory.
        anonymous_bytes: of it that lie in memory and in no file.
    """

    start: int
    end: int
    name: str
    anonymous_bytes: int

    def huge_pages(self) -> tuple[int, int]:
        """Returns the first address and the size of the whole huge pages in it."""
        start = -(-self.start // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
        return start, max(0, self.end // HUGE_PAGE_BYTES * HUGE_PAGE_BYTES - start)


def collapse_weights(smaps: Path = SMAPS) -> int:
    """Moves this process's large, filled memory to huge pages; returns how many bytes. Where the kernel cannot, nothing changes."""
    moved_bytes = 0
    for mapping in _mappings(smaps):
        start, size = mapping.huge_pages()
        is_filled = mapping.anonymous_bytes >= _FILLED * (mapping.end - mapping.start)
        if mapping.name in ("", "[heap]") and is_filled and size and _advise(start, size, _MADV_COLLAPSE):
            moved_bytes += size
    return moved_bytes


def drop_mapped_files(folder: Path, smaps: Path = SMAPS) -> int:
    """Lets go of pages of a folder's files that nobody has written to; returns how many bytes are mapped. They are read again if needed."""
    inside = f"{folder.resolve()}/"
    mapped_bytes = 0
    for mapping in _mappings(smaps):
        size = mapping.end - mapping.start
        if mapping.name.startswith(inside) and not mapping.anonymous_bytes and _advise(mapping.start, size, _MADV_DONTNEED):
            mapped_bytes += size
    return mapped_bytes


def _advise(start: int, size: int, advice: int) -> bool:
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return bool(madvise(start, size, advice) == 0)


def _mappings(smaps: Path) -> Iterator[Mapping]:
    """Yields the private, writable mappings in the form of proc(5); none where that cannot be read."""
    try:
        lines = smaps.read_text().splitlines()
    except OSError:
        return
    head: re.Match[str] | None = None
    for line in lines:
        field = _FIELD.match(line)
        if field is None:
            head = _HEAD.match(line)
        elif head and field[1] == "Anonymous":
            yield Mapping(int(head[1], 16), int(head[2], 16), head[3], int(field[2]) * 1024)
