import mmap
from pathlib import Path

from agent.inference.residency import HUGE_PAGE_BYTES, collapse_weights, drop_mapped_files

SIZE_BYTES = 16 * HUGE_PAGE_BYTES


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def anonymous() -> mmap.mmap:
    return mmap.mmap(-1, SIZE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def test_moving_to_huge_pages_changes_nothing_in_memory() -> None:
    with anonymous() as memory:
        memory[:] = b"weights!" * (SIZE_BYTES // 8)
        moved_bytes = collapse_weights()
        assert moved_bytes % HUGE_PAGE_BYTES == 0
        assert memory[:] == b"weights!" * (SIZE_BYTES // 8)


def test_memory_that_is_hardly_used_is_left_alone() -> None:
    with anonymous() as memory:
        memory[0] = memory[SIZE_BYTES // 2] = 1
        before = resident_bytes()
        collapse_weights()
        assert resident_bytes() - before < 2 * HUGE_PAGE_BYTES


def test_a_mapped_files_pages_are_let_go_and_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"12345678" * (SIZE_BYTES // 8))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE) as mapped:
        content = mapped[:]
        assert drop_mapped_files(tmp_path) == SIZE_BYTES
        assert mapped[:] == content


def test_what_was_written_over_a_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(SIZE_BYTES))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE) as mapped:
        mapped[5] = 7
        assert drop_mapped_files(tmp_path) == 0
        assert mapped[5] == 7


def test_where_the_mappings_cannot_be_read_nothing_happens(tmp_path: Path) -> None:
    assert collapse_weights(tmp_path / "none") == 0
    assert drop_mapped_files(tmp_path, tmp_path / "none") == 0
