"""Who may be believed: each attack on a repository, and what the agent makes of it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import MetaFile

from agent.update.clock_floor import ClockFloor
from agent.update.sources import MAX_METADATA_BYTES
from agent.update.trust import Trust, TrustSettings
from contract.errors import InvalidRequest, NotFound, NotPossibleNow, Reason, SeawallError
from contract.release import Index
from tests.fakes.tuf_repository import NOW, FakeRepository, FakeSource, FolderLike, version_of

INDEX, BLOBS = version_of({"bundle.json": [b"{}"], "model.onnx": [b"a" * 1000, b"b" * 1000]})
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Device:
    """An agent's trust on a disk, with a clock that can be set."""

    def __init__(self, folder: Path, repository: FakeRepository, settings: TrustSettings | None = None) -> None:
        self.repository = repository
        self.folder = folder
        self.time = NOW
        self.settings = settings
        self.root = repository.trusted_root

    def trust(self) -> Trust:
        return Trust(self.folder, self.root, ClockFloor(self.folder, lambda: self.time), self.settings)

    async def index(self, version: str = "1.0.0", source: FakeSource | None = None) -> Index:
        return await self.trust().index(source or FakeSource(self.repository), "models", "tiny", version)

    async def refused(self, version: str = "1.0.0", source: FakeSource | None = None) -> SeawallError:
        with pytest.raises(SeawallError) as caught:
            await self.index(version, source)
        return caught.value


@pytest.fixture
def repository() -> FakeRepository:
    repository = FakeRepository()
    repository.add(INDEX, BLOBS)
    repository.publish()
    return repository


@pytest.fixture
def device(tmp_path: Path, repository: FakeRepository) -> Device:
    return Device(tmp_path / "trust", repository)


async def test_an_index_that_both_publishers_signed_is_believed(device: Device) -> None:
    assert await device.index() == INDEX


async def test_an_index_that_is_here_is_not_fetched_again(device: Device) -> None:
    await device.index()
    source = FakeSource(device.repository)
    await device.index(source=source)
    assert [name for name in source.asked if name.startswith("models/")] == []


async def test_what_nobody_signed_is_not_found(device: Device) -> None:
    error = await device.refused("9.9.9")
    assert isinstance(error, NotFound)
    assert error.reason is Reason.RELEASE_NOT_FOUND


async def test_one_signature_of_two_is_too_few(device: Device) -> None:
    device.repository.publish(device.repository.keys["models"][:1])
    assert (await device.refused()).reason is Reason.RELEASE_INVALID


async def test_the_same_signature_twice_is_one(device: Device) -> None:
    signer = device.repository.keys["models"][0]
    device.repository.publish([signer, signer])
    assert (await device.refused()).reason is Reason.RELEASE_INVALID


async def test_who_holds_the_online_keys_installs_nothing(device: Device) -> None:
    """The hub's own keys sign timestamp and snapshot: with them it makes a target of its own, and nobody believes it."""
    online = [device.repository.keys["timestamp"][0], device.repository.keys["snapshot"][0]]
    forged, blobs = version_of({"model.onnx": [b"evil"]}, "6.6.6")
    device.repository.add(forged, blobs)
    device.repository.publish(online)
    assert (await device.refused("6.6.6")).reason is Reason.RELEASE_INVALID


async def test_an_older_timestamp_is_refused_after_a_newer_one(device: Device) -> None:
    old = device.repository.metadata["timestamp.json"]
    device.repository.publish()
    await device.index()
    device.repository.metadata["timestamp.json"] = old
    assert (await device.refused()).reason is Reason.RELEASE_INVALID


async def test_an_older_models_file_under_a_new_snapshot_is_refused(device: Device) -> None:
    await device.index()
    device.repository.publish()
    await device.index()
    device.repository.snapshot.meta["models.json"] = MetaFile(2)
    device.repository.snapshot.version += 1
    device.repository.sign("snapshot")
    device.repository.tick()
    assert (await device.refused()).reason is Reason.RELEASE_INVALID


async def test_files_of_two_states_do_not_mix(device: Device) -> None:
    old = device.repository.metadata["2.models.json"]
    device.repository.publish()
    device.repository.metadata["3.models.json"] = old
    assert (await device.refused()).reason is Reason.RELEASE_INVALID


async def test_an_index_that_is_another_models_is_refused(device: Device) -> None:
    other, _ = version_of({"model.onnx": [b"a"]}, model="other")
    device.repository.add_file("models/tiny/versions/2.0.0.json", other.to_json())
    device.repository.publish()
    assert (await device.refused("2.0.0")).reason is Reason.RELEASE_INVALID


async def test_a_role_signs_only_what_lies_in_its_folder(device: Device) -> None:
    device.repository.add_file("policies/p/versions/1.json", b"{}")
    device.repository.publish()
    with pytest.raises(NotFound):
        await device.trust().targets(FakeSource(device.repository), ("policies/p/versions/1.json",))


async def test_an_index_that_was_swapped_is_refused(device: Device) -> None:
    (path,) = device.repository.files
    device.repository.files[path] = device.repository.files[path].replace(b"model", b"medal")
    assert (await device.refused()).reason is Reason.RELEASE_INVALID


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "1.targets.json", "2.models.json"])
@pytest.mark.parametrize(
    "spoil",
    [lambda content: content[:-20], lambda _: b"", lambda content: content.replace(b"2026", b"2036"), lambda _: b"[" * 10_000],
    ids=["truncated", "empty", "changed", "nested"],
)
async def test_metadata_that_was_spoilt_is_refused(device: Device, name: str, spoil: Callable[[bytes], bytes]) -> None:
    device.repository.metadata[name] = spoil(device.repository.metadata[name])
    assert (await device.refused()).reason is Reason.RELEASE_INVALID


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "1.targets.json", "2.models.json", "2.root.json"])
async def test_metadata_without_end_is_refused(device: Device, name: str) -> None:
    device.repository.metadata[name] = b" " * (MAX_METADATA_BYTES + 1)
    assert (await device.refused()).reason is Reason.RELEASE_INVALID


async def test_an_index_longer_than_was_signed_is_refused(device: Device) -> None:
    (path,) = device.repository.files
    device.repository.files[path] += b" "
    assert (await device.refused()).reason is Reason.RELEASE_INVALID


@pytest.mark.parametrize(("later", "name"), [(2 * HOUR, "timestamp"), (2 * DAY, "snapshot"), (91 * DAY, "models"), (400 * DAY, "root")])
async def test_what_has_expired_brings_nothing_new(device: Device, later: timedelta, name: str) -> None:
    for role in {"timestamp", "snapshot", "models", "root"} - {name}:
        getattr(device.repository, role).expires = NOW + 1000 * DAY
    device.repository.targets.expires = NOW + 1000 * DAY
    _sign_all(device)
    device.time = NOW + later
    error = await device.refused()
    assert isinstance(error, NotPossibleNow)
    assert error.reason is Reason.RELEASE_EXPIRED


async def test_a_repository_that_stands_still_is_noticed(device: Device) -> None:
    await device.index()
    device.time = NOW + 2 * HOUR
    assert (await device.refused()).reason is Reason.RELEASE_EXPIRED


async def test_a_clock_that_starts_in_the_past_does_not_make_old_metadata_young(device: Device) -> None:
    device.repository.now = device.time = NOW + 3 * HOUR
    old = dict(device.repository.metadata)
    device.repository.tick()
    await device.index()
    device.repository.metadata = old
    device.repository.timestamp.version += 1
    device.repository.timestamp.expires = NOW + HOUR  # signed by who stole the key, long ago
    device.repository.sign("timestamp")
    device.time = datetime.fromisoformat("1970-01-01T00:00:10+00:00")
    assert (await device.refused()).reason is Reason.RELEASE_EXPIRED


async def test_a_clock_that_was_once_ahead_locks_nobody_out(device: Device) -> None:
    device.time = NOW + 5000 * DAY
    await device.refused()
    device.time = NOW
    assert await device.index() == INDEX


async def test_a_last_time_that_cannot_be_read_is_no_reason_to_trust(device: Device) -> None:
    await device.index()
    (device.folder / "last-seen").write_text("yesterday")
    assert (await device.refused()).reason is Reason.RELEASE_EXPIRED


async def test_a_folder_may_have_been_on_its_way_for_as_long_as_the_operator_says(tmp_path: Path, repository: FakeRepository) -> None:
    device = Device(tmp_path / "trust", repository, TrustSettings(stale_seconds=3 * 24 * 3600))
    device.time = NOW + 2 * DAY
    assert await device.index(source=FolderLike(repository)) == INDEX
    device.time = NOW + 5 * DAY
    assert (await device.refused(source=FolderLike(repository))).reason is Reason.RELEASE_EXPIRED


async def test_the_hub_is_given_no_grace(tmp_path: Path, repository: FakeRepository) -> None:
    device = Device(tmp_path / "trust", repository, TrustSettings(stale_seconds=3 * 24 * 3600))
    device.time = NOW + 2 * HOUR
    assert (await device.refused()).reason is Reason.RELEASE_EXPIRED


async def test_the_grace_is_not_for_those_who_say_what_is_good(tmp_path: Path, repository: FakeRepository) -> None:
    device = Device(tmp_path / "trust", repository, TrustSettings(stale_seconds=1000 * 24 * 3600))
    device.time = NOW + 91 * DAY
    error = await device.refused(source=FolderLike(repository))
    assert error.reason is Reason.RELEASE_EXPIRED


async def test_a_root_is_followed_when_the_old_one_signed_it_too(device: Device) -> None:
    repository, new = device.repository, CryptoSigner.generate_ed25519()
    old = repository.keys["root"]
    repository.root.revoke_key(old[0].public_key.keyid, "root")
    repository.root.add_key(new.public_key, "root")
    repository.root.version = 2
    repository.sign("root", [new])
    assert (await device.refused()).reason is Reason.RELEASE_INVALID
    repository.sign("root", [*old, new])
    assert await device.index() == INDEX


async def test_metadata_that_a_power_cut_tore_is_fetched_again(device: Device) -> None:
    await device.index()
    for path in device.folder.rglob("*.json"):
        if not path.is_symlink():
            path.write_bytes(b"\0" * 10)
    assert await device.index() == INDEX


async def test_a_disk_that_cannot_be_written_to_is_said(tmp_path: Path, repository: FakeRepository) -> None:
    (tmp_path / "trust").write_text("a file where a folder should be")
    error = await Device(tmp_path / "trust", repository).refused()
    assert error.reason is Reason.DISK_FULL


async def test_what_python_tuf_says_reaches_no_one_as_a_traceback(device: Device) -> None:
    device.root = b"no root"
    error = await device.refused()
    assert isinstance(error, InvalidRequest)


def _sign_all(device: Device) -> None:
    device.repository.sign("root")
    device.root = device.repository.trusted_root
    for name in ("targets", "models", "snapshot", "timestamp"):
        device.repository.sign(name)


async def test_the_versions_of_a_model_are_those_that_its_role_has_signed(device: Device) -> None:
    for version, model in (("1.1.0", "tiny"), ("3.0.0", "tiny-two")):
        device.repository.add(version_of({"bundle.json": [b"{}"]}, version, model)[0])
    device.repository.publish()
    source = FakeSource(device.repository)
    assert await device.trust().versions(source, "models", "tiny") == ("1.0.0", "1.1.0")
    assert await device.trust().versions(source, "models", "large") == ()
    with pytest.raises(NotFound, match="Nobody signs rosters"):
        await device.trust().versions(source, "rosters", "site")


async def test_versions_that_too_few_have_signed_are_not_told(device: Device) -> None:
    device.repository.add(version_of({"bundle.json": [b"{}"]}, "6.6.6")[0])
    device.repository.publish(device.repository.keys["models"][:1])
    with pytest.raises(InvalidRequest) as refused:
        await device.trust().versions(FakeSource(device.repository), "models", "tiny")
    assert refused.value.reason is Reason.RELEASE_INVALID


async def test_versions_are_not_told_from_what_has_expired(device: Device) -> None:
    device.time = NOW + 2 * HOUR
    with pytest.raises(NotPossibleNow) as refused:
        await device.trust().versions(FakeSource(device.repository), "models", "tiny")
    assert refused.value.reason is Reason.RELEASE_EXPIRED
