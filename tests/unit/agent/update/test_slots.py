"""The slots, without power cuts; those are in tests/system."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent.update.slot_files import inside
from agent.update.slots import Slots, SlotState
from contract.errors import InvalidRequest, NotPossibleNow, Reason, SeawallError, Unavailable
from contract.release import Chunk, Index
from tests.fakes.versions import Version, make_version

ONE, TWO, THREE = (make_version(number) for number in (1, 2, 3))
PLENTY_BYTES = 1 << 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models" / "slots"


@pytest.fixture
def slots(folder: Path) -> Slots:
    return opened(folder)


def opened(folder: Path) -> Slots:
    return Slots(folder, lambda _: PLENTY_BYTES)


def install(slots: Slots, version: Version) -> Path:
    slots.stage(version.index_json, version.read)
    return slots.switch()


def served(slots: Slots) -> str | None:
    found = slots.start()
    return None if found.index is None else found.index.version


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_nothing_serves_before_the_first_version_and_nothing_is_wrong(slots: Slots, folder: Path) -> None:
    found = slots.start()
    assert (found.bundle, found.problems) == (None, ())
    assert not folder.exists()


def test_a_staged_version_serves_once_it_is_switched_to(slots: Slots, folder: Path) -> None:
    slots.stage(ONE.index_json, ONE.read)
    assert served(opened(folder)) is None
    bundle = slots.switch()
    assert slots.record.entries["a"].state is SlotState.CURRENT
    assert {file.name: (bundle / file.name).stat().st_size for file in ONE.index.files} == {f.name: f.size_bytes for f in ONE.index.files}
    assert served(opened(folder)) == "1"


def test_the_old_version_stays_until_the_new_one_is_proven(slots: Slots, folder: Path) -> None:
    install(slots, ONE)
    slots.prove()
    install(slots, TWO)
    assert slots.reclaim() == 0
    with pytest.raises(NotPossibleNow) as refused:
        slots.stage(THREE.index_json, THREE.read)
    assert refused.value.reason is Reason.UPDATE_NOT_POSSIBLE
    slots.prove()
    assert slots.reclaim() > ONE.index.size_bytes()
    assert [slots.record.entries[name].state for name in "ab"] == [SlotState.EMPTY, SlotState.PROVEN]
    assert not (folder / "a").exists()
    assert served(opened(folder)) == "2"


def test_rolled_back_the_old_version_serves_and_says_why(slots: Slots, folder: Path) -> None:
    install(slots, ONE)
    slots.prove()
    install(slots, TWO)
    found = slots.roll_back("It answers worse.")
    assert (found.index and found.index.version, found.problems) == ("1", ("It answers worse.",))
    assert served(opened(folder)) == "1"
    with pytest.raises(NotPossibleNow):
        opened(folder).roll_back("nothing is on probation")


def test_the_first_version_rolled_back_leaves_none(slots: Slots) -> None:
    install(slots, ONE)
    assert slots.roll_back("It answers worse.").bundle is None
    assert slots.bundle is None


@pytest.mark.parametrize("name", ["bundle/model.onnx.data", "bundle/bundle.json", "index.json"])
def test_a_damaged_slot_falls_back_to_the_other_and_says_so(slots: Slots, folder: Path, name: str) -> None:
    install(slots, ONE)
    slots.prove()
    install(slots, TWO)
    damage(folder / "b" / name)
    found = opened(folder).start()
    assert found.index is not None
    assert found.index.version == "1"
    assert "Slot b is damaged" in found.problems[0]
    assert opened(folder).start().problems == ()


def test_with_both_damaged_none_serves_and_the_model_is_still_known_by_name(slots: Slots, folder: Path) -> None:
    install(slots, ONE)
    slots.prove()
    install(slots, TWO)
    for name in "ab":
        damage(folder / name / "bundle" / "model.onnx")
    found = opened(folder).start()
    assert found.bundle is None
    assert [problem[:6] for problem in found.problems] == ["Slot b", "Slot a"]
    assert found.last is not None
    assert found.last.version == "2"


def test_a_slot_that_was_only_staged_is_no_way_back(slots: Slots, folder: Path) -> None:
    install(slots, ONE)
    slots.prove()
    slots.stage(TWO.index_json, TWO.read)
    damage(folder / "a" / "bundle" / "model.onnx")
    assert opened(folder).start().bundle is None


@pytest.mark.parametrize("planted", ["file", "link", "missing"])
def test_too_much_too_little_and_links_are_damage(slots: Slots, folder: Path, tmp_path: Path, planted: str) -> None:
    bundle = install(slots, ONE)
    if planted == "file":
        (bundle / "extra.so").write_bytes(b"x")
    else:
        moved = (bundle / "tokenizer.json").rename(tmp_path / "tokenizer.json")
        if planted == "link":
            (bundle / "tokenizer.json").symlink_to(moved)
    assert opened(folder).start().bundle is None


def test_a_damaged_record_is_trusted_with_nothing(slots: Slots, folder: Path) -> None:
    install(slots, ONE)
    (folder / "record.json").write_text('{"format_version": 1, "current": "a"}')
    found = opened(folder).start()
    assert found.bundle is None
    assert "no slot is trusted without it" in found.problems[0]


def test_bytes_that_are_not_the_indexs_are_refused_and_leave_nothing(slots: Slots, folder: Path) -> None:
    install(slots, ONE)
    slots.prove()

    def swapped(chunk: Chunk) -> bytes:
        return TWO.read(chunk)[::-1]

    with pytest.raises(InvalidRequest) as refused:
        slots.stage(TWO.index_json, swapped)
    assert refused.value.reason is Reason.RELEASE_INVALID
    assert not (folder / "b").exists()
    with pytest.raises(NotPossibleNow):
        slots.switch()
    assert served(opened(folder)) == "1"


def test_a_chunk_that_cannot_be_read_stops_the_staging_and_the_next_one_goes_well(slots: Slots) -> None:
    def gone(chunk: Chunk) -> bytes:
        raise Unavailable(Reason.RELEASE_UNAVAILABLE, f"{chunk.sha256} is away.")

    with pytest.raises(Unavailable):
        slots.stage(ONE.index_json, gone)
    install(slots, ONE)
    assert served(slots) == "1"


def test_room_is_checked_before_anything_is_touched(folder: Path) -> None:
    size_bytes = ONE.index.size_bytes()
    free = [size_bytes]
    slots = Slots(folder, lambda _: free[0], spare_bytes=1000)
    with pytest.raises(NotPossibleNow) as refused:
        slots.stage(ONE.index_json, ONE.read)
    assert refused.value.reason is Reason.DISK_FULL
    assert "make room for 1000 more" in refused.value.message
    assert not folder.exists()
    free[0] += 1000
    install(slots, ONE)
    slots.prove()
    install(slots, TWO)
    slots.prove()
    free[0] = 2000  # the old version's room is had again
    install(slots, THREE)
    assert served(slots) == "3"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\\b", ".hidden", "a\0b", "a\n", "x" * 200])
def test_a_name_that_leads_out_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequest):
        inside(tmp_path, name)


def test_a_path_in_an_index_is_refused_and_writes_nothing(slots: Slots, tmp_path: Path) -> None:
    files = (replace(ONE.index.files[0], name="../../../escaped"), *ONE.index.files[1:])
    with pytest.raises(SeawallError) as refused:
        slots.stage(replace(ONE.index, files=files).to_json(), ONE.read)
    assert refused.value.reason is Reason.RELEASE_INVALID
    assert list(tmp_path.iterdir()) == []


def test_an_index_is_read_strictly(slots: Slots) -> None:
    with pytest.raises(SeawallError):
        slots.stage(b"{}", ONE.read)
    assert isinstance(ONE.index, Index)


def test_before_a_slot_is_touched_the_record_trusts_it_no_more(slots: Slots, folder: Path) -> None:
    install(slots, ONE)
    slots.prove()
    install(slots, TWO)
    slots.prove()
    seen = []

    def looking(chunk: Chunk) -> bytes:
        other = opened(folder)
        other.start()
        seen.append(other.record.entries["a"].state)
        return THREE.read(chunk)

    slots.stage(THREE.index_json, looking)
    assert set(seen) == {SlotState.STAGING}


def test_an_agent_that_starts_while_another_process_holds_the_slots_serves_and_writes_nothing(slots: Slots, folder: Path) -> None:
    install(slots, ONE)
    slots.prove()
    install(slots, TWO)
    damage(folder / "b" / "bundle" / "model.onnx")
    before = (folder / "record.json").read_bytes()
    with slots.held():
        found = opened(folder).start()
        assert found.index == ONE.index
        assert "cannot be written down" in found.problems[1]
        assert (folder / "record.json").read_bytes() == before
        with pytest.raises(NotPossibleNow) as refused, opened(folder).held():
            raise AssertionError
        assert refused.value.reason is Reason.UPDATE_NOT_POSSIBLE
        assert slots.start().index == ONE.index, "who holds them may write"
    assert (folder / "record.json").read_bytes() != before
    with opened(folder).held():
        assert served(opened(folder)) == "1"


def test_what_is_staged_can_be_discarded_and_what_serves_cannot(slots: Slots, folder: Path) -> None:
    install(slots, ONE)
    slots.prove()
    slots.stage(TWO.index_json, TWO.read)
    slots.discard()
    assert slots.record.entries["b"].state is SlotState.EMPTY
    assert not (folder / "b").exists()
    slots.discard()
    assert served(opened(folder)) == "1"


def test_a_rollout_that_has_a_version_on_probation_is_kept_until_that_ends(slots: Slots, folder: Path) -> None:
    slots.stage(ONE.index_json, ONE.read)
    slots.switch("rollouts/r1")
    again = opened(folder)
    assert again.look().rollout == "rollouts/r1"
    again.start()
    with pytest.raises(NotPossibleNow, match="rollouts/r1"):
        again.check_probation()
    again.prove()
    assert again.look().rollout == ""
    again.check_probation()


def test_a_record_of_a_version_that_knew_no_rollouts_is_read(slots: Slots, folder: Path) -> None:
    install(slots, ONE)
    record = json.loads((folder / "record.json").read_text())
    for entry in record["entries"].values():
        del entry["rollout"]
    (folder / "record.json").write_text(json.dumps(record))
    assert served(opened(folder)) == "1"
    assert opened(folder).look().rollout == ""


def test_a_version_that_has_served_before_needs_no_probation(slots: Slots) -> None:
    slots.stage(ONE.index_json, ONE.read)
    slots.switch(state=SlotState.PROVEN)
    slots.check_probation()
    assert served(slots) == "1"


def test_a_proven_version_is_given_back_for_the_one_that_served_before(slots: Slots) -> None:
    for version in (ONE, TWO):
        install(slots, version)
        slots.prove()
    before = slots.record.entries["a"].index_sha256
    assert slots.holds(before)
    found = slots.give_back(before, "It is wanted back.")
    assert (found.index, found.problems) == (ONE.index, ("It is wanted back.",))
    assert slots.record.entries["b"].state is SlotState.EMPTY


@pytest.mark.parametrize("index_sha256", ["", "0" * 64])
def test_where_another_version_or_the_configuration_served_before_no_slot_is_taken(slots: Slots, index_sha256: str) -> None:
    for version in (ONE, TWO):
        install(slots, version)
        slots.prove()
    assert not slots.holds(index_sha256)
    assert slots.give_back(index_sha256, "It is wanted back.").bundle is None
    assert slots.record.current == ""


def test_a_damaged_slot_or_one_that_never_served_is_no_way_back(slots: Slots, folder: Path) -> None:
    install(slots, ONE)
    slots.prove()
    slots.stage(TWO.index_json, TWO.read)
    assert not slots.holds(slots.record.entries["b"].index_sha256)
    slots.switch()
    before = slots.record.entries["a"].index_sha256
    assert slots.holds(before)
    damage(folder / "a" / "bundle" / "model.onnx")
    assert not slots.holds(before)


def test_a_slot_is_known_by_the_folder_of_its_model(slots: Slots, tmp_path: Path) -> None:
    bundle = install(slots, ONE)
    assert [slots.name_of(folder) for folder in (bundle, tmp_path, None)] == ["a", "", ""]


def test_a_record_that_cannot_be_read_names_no_rollout(slots: Slots, folder: Path) -> None:
    slots.stage(ONE.index_json, ONE.read)
    slots.switch("rollouts/r1")
    (folder / "record.json").write_bytes(b"{")
    assert opened(folder).look().rollout == ""
