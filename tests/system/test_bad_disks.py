"""A full and a read-only disk: what serves goes on serving, what is wrong is said."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.update.slots import Slots, SlotState
from contract.errors import NotPossibleNow, Reason, SeawallError, Unavailable
from tests.fakes.forgetful_filesystem import HOW_TO_GET_IT, MountedDisk, is_there, mounted_disk
from tests.fakes.versions import make_version

ONE, TWO = make_version(1), make_version(2)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[MountedDisk]:
    if not is_there():
        pytest.skip(HOW_TO_GET_IT)
    with mounted_disk(tmp_path / "disk", 0) as disk:
        yield disk


@pytest.fixture
def slots(disk: MountedDisk) -> Slots:
    slots = opened(disk)
    slots.stage(ONE.index_json, ONE.read)
    slots.switch()
    slots.prove()
    return slots


def opened(disk: MountedDisk, free_bytes: int = 1 << 40) -> Slots:
    return Slots(disk.folder / "slots", lambda _: free_bytes)


def served(disk: MountedDisk) -> str | None:
    index = opened(disk).start().index
    return None if index is None else index.version


def test_a_disk_that_fills_up_while_a_version_is_staged_gives_the_room_back(disk: MountedDisk, slots: Slots) -> None:
    read = 0

    def filling(chunk: object) -> bytes:
        nonlocal read
        read += 1
        if read == 5:
            disk.fill(True)
        return TWO.read(chunk)  # type: ignore[arg-type]

    with pytest.raises(NotPossibleNow) as refused:
        slots.stage(TWO.index_json, filling)
    assert refused.value.reason is Reason.DISK_FULL
    assert not (disk.folder / "slots" / "b").exists()
    assert served(disk) == "1"
    disk.fill(False)
    slots.stage(TWO.index_json, TWO.read)
    slots.switch()
    assert served(disk) == "2"


def test_on_a_full_disk_room_is_missed_before_anything_is_written(disk: MountedDisk, slots: Slots) -> None:
    disk.fill(True)
    before = disk.changes()
    full = Slots(disk.folder / "slots")
    assert (full.start().problems, full.bundle) == ((), slots.bundle)
    with pytest.raises(NotPossibleNow) as refused:
        full.stage(TWO.index_json, TWO.read)
    assert refused.value.reason is Reason.DISK_FULL
    assert disk.changes() == before


def test_on_a_read_only_disk_the_current_version_serves_and_no_other_is_taken(disk: MountedDisk, slots: Slots) -> None:
    slots.stage(TWO.index_json, TWO.read)
    disk.make_read_only(True)
    for forbidden in (slots.switch, lambda: opened_on(disk).stage(TWO.index_json, TWO.read)):
        with pytest.raises(SeawallError) as refused:
            forbidden()
        assert isinstance(refused.value, Unavailable)
        assert refused.value.reason is Reason.STORE_UNAVAILABLE
    assert served(disk) == "1"
    assert slots.record.entries["b"].state is SlotState.VERIFIED


def test_on_a_read_only_disk_a_damaged_slot_still_falls_back(disk: MountedDisk, slots: Slots) -> None:
    slots.stage(TWO.index_json, TWO.read)
    (slots.switch() / "model.onnx").write_bytes(b"torn")
    disk.make_read_only(True)
    found = opened(disk).start()
    assert found.index is not None
    assert found.index.version == "1"
    assert "cannot be written down" in found.problems[1]
    again = opened(disk)
    again.start()
    assert again.reject("It cannot be loaded.").bundle is None


def opened_on(disk: MountedDisk) -> Slots:
    slots = opened(disk)
    slots.start()
    return slots
