"""Signed policies: what is taken, what is refused, and that what is refused leaves the one in force where it is."""

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from agent.config import AgentSettings, PrivacySettings
from agent.policies.following import Following, FollowingTimes
from agent.policies.in_force import PolicyInForce, choose
from agent.policies.kept import KeptPolicy
from agent.policies.taking import PolicyTaker, Taken
from agent.update.chunk_folder import ChunkFolder
from agent.update.clock_floor import ClockFloor
from agent.update.fetcher import Fetcher, FetchSettings
from agent.update.pacing import Pace, PaceSettings
from agent.update.trust import Trust
from contract.calibration.maps import CONFIDENCE, Calibrations, Fitted, Map
from contract.classification import Classification, DataClass
from contract.errors import Busy, NotFound, Reason, SeawallError, Unavailable
from contract.policy import Policy
from contract.release import MAX_CHUNK_BYTES
from tests.fakes.surroundings import HERE
from tests.fakes.tuf_repository import NOW, FakeRepository, FakeSource, version_of

FIRST = b'@id("first") permit (principal, action == Action::"cache", resource);'
SECOND = b'@id("second") permit (principal, action, resource);'
SYNTAX, UNKNOWN = b"permit", b'@id("t") permit (principal, action, resource) when { context.clas == "public" };'
PUBLIC = Classification(DataClass.PUBLIC)


class Device:
    """An agent that follows the policy `fleet`, and its publisher."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = FakeRepository(role="policies")
        self.source = FakeSource(self.repository)
        self.time = NOW
        self.kept = KeptPolicy(folder / "policies")
        self.chunks = ChunkFolder(folder / "chunks", spare_bytes=0)
        privacy = PrivacySettings(signed_policy="fleet")
        self.in_force = PolicyInForce(lambda: choose(AgentSettings(privacy=privacy, state_folder=folder), self.kept))
        self.following = Following(self.in_force, self.kept, self.take, lambda: 1.0)

    def sign(self, version: str, policy: bytes, name: str = "fleet", **files: bytes) -> None:
        chunks = [policy[begin : begin + MAX_CHUNK_BYTES] for begin in range(0, len(policy), MAX_CHUNK_BYTES)]
        named = {"policy.cedar": chunks, **{key.replace("_", "."): [content] for key, content in files.items()}}
        self.repository.add(*version_of(named, version, name))

    def publish(self, version: str, policy: bytes, name: str = "fleet", **files: bytes) -> None:
        self.sign(version, policy, name, **files)
        self.repository.publish()

    async def take(self) -> Taken:
        clock = ClockFloor(self.folder, lambda: self.time)
        trust = Trust(self.folder / "metadata", self.repository.trusted_root, clock)
        settings = FetchSettings(streams=1, attempts=1, first_delay_seconds=0)
        fetcher = Fetcher(self.chunks, Pace(PaceSettings(), lambda: self.time, clock=lambda: 0.0), random.Random(1), settings)
        return await PolicyTaker(trust, fetcher, self.chunks, self.kept, "fleet").take(self.source)

    def decides_by(self) -> tuple[str, ...]:
        return self.in_force.decide("a1", PUBLIC, HERE).policy_ids


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


@pytest.fixture
async def followed(device: Device) -> Device:
    """One that has version 1.0.0 in force."""
    device.publish("1.0.0", FIRST)
    await device.following.look()
    assert "first" in device.decides_by()
    return device


async def test_a_signed_policy_is_in_force_as_soon_as_it_is_taken_and_after_a_restart(device: Device) -> None:
    assert device.decides_by() == ("default-deny",)
    device.publish("1.0.0", FIRST, recognizers_json=b"{}")
    assert await device.following.look()
    assert device.decides_by() == ("default-deny", "first")
    assert (device.in_force.chosen.name, device.in_force.trouble) == ("policies/fleet/versions/1.0.0", "")
    again = Device(device.folder)
    assert again.decides_by() == ("default-deny", "first")
    assert again.in_force.chosen.recognizers == b"{}"


async def test_a_calibration_comes_with_the_signed_policy_and_one_that_is_refused_leaves_both_in_force(followed: Device) -> None:
    fitted = Calibrations((Fitted(CONFIDENCE, "sha256:a", Map(0.7, -0.8), 900),))
    followed.publish("2.0.0", FIRST, calibration_json=fitted.to_json())
    assert await followed.following.look()
    assert followed.in_force.chosen.calibrations == fitted
    followed.publish("3.0.0", SECOND, calibration_json=fitted.to_json().replace(b"0.7", b"-0.7"))
    await followed.following.look()
    assert "slope" in followed.in_force.trouble
    assert (followed.in_force.chosen.name, followed.in_force.chosen.calibrations) == ("policies/fleet/versions/2.0.0", fitted)


async def test_a_newer_version_takes_the_place_of_the_older(followed: Device) -> None:
    followed.publish("1.10.0", SECOND)
    assert await followed.take() == Taken("policies/fleet/versions/1.10.0", "policies/fleet/versions/1.0.0", changed=True)
    followed.in_force.refresh()
    assert followed.decides_by() == ("second",)


@pytest.mark.parametrize("version", ["0.9.0", "1.0.0-rc1"])
async def test_an_older_version_never_comes_back(followed: Device, version: str) -> None:
    followed.publish(version, SECOND)
    assert not (await followed.take()).changed
    assert followed.kept.read() is not None
    assert "first" in followed.decides_by()


def expire(device: Device) -> None:
    device.sign("2.0.0", SECOND)
    device.repository.models.expires = device.time - timedelta(seconds=1)
    device.repository.publish()


def sign_with_one_key(device: Device) -> None:
    device.sign("2.0.0", SECOND)
    device.repository.publish(device.repository.keys["policies"][:1])


def sign_with_strangers(device: Device) -> None:
    device.sign("2.0.0", SECOND)
    device.repository.publish(FakeRepository(role="policies").keys["policies"])


def change_a_chunk(device: Device) -> None:
    device.publish("2.0.0", SECOND)
    for digest in device.repository.blobs:
        device.repository.blobs[digest] = b"\0" + b"something else"


REFUSED: list[tuple[Callable[[Device], None], Reason]] = [
    (lambda device: device.publish("2.0.0", SYNTAX), Reason.POLICY_INVALID),
    (lambda device: device.publish("2.0.0", UNKNOWN), Reason.POLICY_INVALID),
    (lambda device: device.publish("2.0.0", SECOND, recognizers_json=b"nonsense"), Reason.FIELD_INVALID),
    (lambda device: device.publish("2.0.0", SECOND, notes_txt=b"hello"), Reason.POLICY_INVALID),
    (lambda device: device.publish("2.0.0", b" " * 1_048_577), Reason.POLICY_INVALID),
    (expire, Reason.RELEASE_EXPIRED),
    (sign_with_one_key, Reason.RELEASE_INVALID),
    (sign_with_strangers, Reason.RELEASE_INVALID),
    (change_a_chunk, Reason.RELEASE_INVALID),
]
NAMES = ["syntax", "unknown attribute", "recognizers", "unknown file", "too large", "expired", "one key", "strangers", "changed chunk"]


@pytest.mark.parametrize(("spoil", "reason"), REFUSED, ids=NAMES)
async def test_what_is_refused_leaves_the_old_one_in_force_and_is_told(
    followed: Device, spoil: Callable[[Device], None], reason: Reason
) -> None:
    before = followed.in_force.digest
    spoil(followed)
    with pytest.raises(SeawallError) as raised:
        await followed.take()
    assert raised.value.reason is reason
    assert await followed.following.look()
    followed.in_force.refresh()
    assert followed.in_force.digest == before == Policy(FIRST.decode()).digest
    assert followed.in_force.trouble.startswith(reason)
    assert "first" in Device(followed.folder).decides_by()


async def test_the_trouble_is_over_when_a_good_one_is_taken(followed: Device) -> None:
    followed.publish("2.0.0", SYNTAX)
    await followed.following.look()
    assert followed.in_force.trouble
    followed.publish("2.0.1", SECOND)
    await followed.following.look()
    assert (followed.in_force.trouble, followed.decides_by()) == ("", ("second",))


async def test_a_policy_of_another_name_is_not_taken(device: Device) -> None:
    device.publish("1.0.0", SECOND, name="other")
    with pytest.raises(NotFound):
        await device.take()
    await device.following.look()
    assert device.decides_by() == ("default-deny",)
    assert "RELEASE_NOT_FOUND" in device.in_force.trouble


async def test_a_source_that_is_away_is_no_trouble_with_the_policy(followed: Device) -> None:
    class Away(FakeSource):
        async def metadata(self, name: str) -> bytes:
            raise Unavailable(Reason.RELEASE_UNAVAILABLE, f"{name} is away.")

    followed.source = Away(followed.repository)
    assert not await followed.following.look()
    assert followed.in_force.trouble == ""


async def test_two_do_not_take_at_once(device: Device) -> None:
    device.publish("1.0.0", FIRST)
    with KeptPolicy(device.folder / "policies").held():
        with pytest.raises(Busy) as raised:
            await device.take()
        assert raised.value.reason is Reason.UPDATE_NOT_POSSIBLE
        assert not await device.following.look()
        assert "UPDATE_NOT_POSSIBLE" not in device.in_force.trouble
    assert (await device.take()).changed


@pytest.mark.parametrize("spoil", [lambda text: text[:-30], lambda text: text.replace(b'.cedar": "Q', b'.cedar": "R')])
async def test_a_policy_that_is_damaged_on_the_disk_denies_everything_until_it_is_taken_again(
    followed: Device, spoil: Callable[[bytes], bytes]
) -> None:
    file = followed.folder / "policies" / "signed.json"
    file.write_bytes(spoil(file.read_bytes()))
    followed.in_force.refresh()
    assert followed.decides_by() == ("default-deny",)
    assert not followed.in_force.decide("a1", PUBLIC, HERE).may_cache
    assert "damaged" in followed.in_force.trouble
    assert (await followed.take()).changed
    followed.in_force.refresh()
    assert "first" in followed.decides_by()


async def test_what_a_technician_brings_is_put_in_force_by_the_running_agent(device: Device) -> None:
    device.publish("1.0.0", FIRST)

    class Stop(Exception):
        pass

    async def sleep(seconds: float) -> None:
        """The source is not asked again; while the disk is waited for, a technician comes, and the next time it is over."""
        if seconds == FollowingTimes().disk:
            if device.in_force.chosen.name:
                raise Stop
            await device.take()
        else:
            await asyncio.Event().wait()

    async def away() -> Taken:
        raise Unavailable(Reason.HUB_UNAVAILABLE, "No hub.")

    following = Following(device.in_force, device.kept, away, lambda: 1.0, FollowingTimes(again=1e6), sleep)
    with pytest.raises(ExceptionGroup) as raised:
        await following.run()
    assert raised.group_contains(Stop)
    assert "first" in device.decides_by()
