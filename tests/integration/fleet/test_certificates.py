"""Certificates: renewed while they are good, recovered when they have expired, used without dropping a call."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent.escalation import Completion, HubEscalator
from agent.hub_link import HubLink
from agent.identity.authorities import ToldAuthorities
from agent.identity.files import Identity, IdentityFolder
from agent.identity.renewal import recover, recovery_address
from agent.identity.rotation import Rotation, RotationTimes, due_time
from agent.prompts import Message, Sampling
from contract.classification import Classification, DataClass
from contract.decision import Decision, Route
from contract.errors import NotAuthenticated, Reason, SeawallError
from contract.surroundings import Provider, Surroundings
from tests.fakes.fleet_agent import eventually, fleet_agent
from tests.fakes.fleet_hub import RunningFakeHub, fake_fleet_hub
from tests.fakes.hub import RunningHub
from tests.integration.fleet.conftest import enrolled

QUICK = RotationTimes(first_delay=0.01, longest_delay=0.02, spread=0.01)
DAY = timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def folder(tmp_path: Path) -> IdentityFolder:
    return IdentityFolder(tmp_path / "identity")


def rotation(link: HubLink, folder: IdentityFolder, clock: Callable[[], datetime] = now, told: ToldAuthorities | None = None) -> Rotation:
    folder.write(link.identity)
    return Rotation(link, folder, clock, random.Random(1), told or ToldAuthorities(), QUICK)


def later(days: float) -> Callable[[], datetime]:
    return lambda: now() + days * DAY


async def test_a_session_goes_over_to_a_renewed_certificate_and_the_disk_has_it(
    fake: RunningFakeHub, folder: IdentityFolder, tmp_path: Path
) -> None:
    async with fleet_agent(fake.identity(), tmp_path) as agent:
        await eventually(lambda: agent.session.state == "open")
        old = agent.link.identity
        await rotation(agent.link, folder).replace_once()
        await eventually(lambda: len(fake.hub.hellos) > 1)
        assert agent.link.identity == folder.read() != old
        assert agent.link.identity.key_pem != old.key_pem
        assert agent.link.identity.certificate == fake.certificates.issued[-1]


async def test_the_real_hub_renews_and_its_new_certificate_opens_a_session(
    real: RunningHub, folder: IdentityFolder, tmp_path: Path
) -> None:
    async with fleet_agent(await enrolled(real), tmp_path) as agent:
        old = agent.link.identity
        await eventually(lambda: agent.session.state == "open")
        await rotation(agent.link, folder).replace_once()
        assert agent.link.identity == folder.read() != old
    async with fleet_agent(folder.read(), tmp_path) as agent:
        await eventually(lambda: agent.session.state == "open")


async def test_the_real_hub_takes_an_agent_back_whose_certificate_has_expired(
    real: RunningHub, folder: IdentityFolder, tmp_path: Path
) -> None:
    link = HubLink(await enrolled(real))
    await rotation(link, folder, later(91)).replace_once()
    await link.close()
    async with fleet_agent(folder.read(), tmp_path) as agent:
        await eventually(lambda: agent.session.state == "open")


async def test_an_expired_certificate_is_recovered_and_opens_a_session(
    fake: RunningFakeHub, folder: IdentityFolder, tmp_path: Path
) -> None:
    async with fleet_agent(fake.identity(life=timedelta(minutes=-30)), tmp_path) as agent:
        await eventually(lambda: agent.session.state.startswith("waiting"))
        running = asyncio.create_task(rotation(agent.link, folder).run())
        await eventually(lambda: agent.session.state == "open")
        running.cancel()
    assert folder.read().expire_time > now() + 80 * DAY


async def test_a_device_whose_clock_is_behind_comes_back_though_it_takes_its_certificate_for_good(
    fake: RunningFakeHub, folder: IdentityFolder, tmp_path: Path
) -> None:
    async with fleet_agent(fake.identity(life=timedelta(minutes=-30)), tmp_path) as agent:
        running = asyncio.create_task(rotation(agent.link, folder, later(-1), agent.told).run())
        await eventually(lambda: agent.session.state == "open")
        running.cancel()


async def test_a_device_whose_clock_is_far_ahead_renews_once_and_then_pauses(fake: RunningFakeHub, folder: IdentityFolder) -> None:
    link = HubLink(fake.identity())
    running = asyncio.create_task(rotation(link, folder, later(200)).run())
    first = link.changed
    await eventually(first.is_set)
    issued = len(fake.certificates.issued)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await asyncio.shield(running)
    running.cancel()
    await link.close()
    assert len(fake.certificates.issued) == issued


async def test_recovery_with_another_key_is_refused(fake: RunningFakeHub) -> None:
    stolen = replace(fake.identity(life=timedelta(minutes=-30)), key_pem=fake.identity().key_pem)
    with pytest.raises(SeawallError) as caught:
        await recover(stolen, ec.generate_private_key(ec.SECP256R1()))
    assert caught.value.reason is Reason.RECOVERY_REFUSED


async def test_a_lost_answer_is_asked_for_again_with_the_same_key(fake: RunningFakeHub, folder: IdentityFolder) -> None:
    fake.hub.faults.lost_certificates = 2
    link = HubLink(fake.identity())
    running = asyncio.create_task(rotation(link, folder, later(70)).run())
    await eventually(link.changed.is_set)
    running.cancel()
    await link.close()
    lost, again, used = fake.certificates.issued[-3:]
    assert lost.public_key() == again.public_key() == used.public_key()
    assert folder.read().certificate == used


async def test_a_certificate_of_another_agent_is_not_used(fake: RunningFakeHub, folder: IdentityFolder) -> None:
    identity = fake.identity()
    fake.hub.faults.foreign_certificates = True
    link = HubLink(identity)
    with pytest.raises(NotAuthenticated, match="tell its operator"):
        await rotation(link, folder).replace_once()
    await link.close()
    assert folder.read() == link.identity == identity


async def test_while_the_ca_changes_both_are_trusted(fake: RunningFakeHub, folder: IdentityFolder, tmp_path: Path) -> None:
    async with fake_fleet_hub() as other:
        fake.certificates.trusted += other.certificates.trusted
        async with fleet_agent(fake.identity(), tmp_path) as agent:
            await rotation(agent.link, folder).replace_once()
            await eventually(lambda: agent.session.state == "open")
        assert folder.read().ca_pem.count(b"BEGIN CERTIFICATE") == 2
        moved = replace(other.identity(), ca_pem=folder.read().ca_pem)
        async with fleet_agent(moved, tmp_path) as agent:
            await eventually(lambda: agent.session.state == "open")


async def test_a_certificate_of_a_ca_that_is_not_trusted_is_not_used(fake: RunningFakeHub, folder: IdentityFolder) -> None:
    async with fake_fleet_hub() as other:
        fake.certificates.trusted = other.certificates.trusted
        link = HubLink(fake.identity())
        with pytest.raises(NotAuthenticated):
            await rotation(link, folder).replace_once()
        await link.close()
    assert folder.read() == link.identity


async def test_trouble_is_shown_until_there_is_a_certificate(fake: RunningFakeHub, folder: IdentityFolder) -> None:
    fake.hub.faults.refusal = Reason.AGENT_SUSPENDED
    link = HubLink(fake.identity())
    rotating = rotation(link, folder, later(70))
    running = asyncio.create_task(rotating.run())
    await eventually(lambda: rotating.trouble.startswith("AGENT_SUSPENDED"))
    fake.hub.faults.refusal = None
    await eventually(lambda: rotating.trouble == "")
    running.cancel()
    await link.close()


async def test_an_answer_that_is_under_way_comes_whole_though_the_certificate_changes(fake: RunningFakeHub, folder: IdentityFolder) -> None:
    link = HubLink(fake.identity())
    decision = Decision(may_cache=True, routes=(Route(Provider("cloud", "public")),))
    answer = HubEscalator(link).escalate([Message("user", "hello")], Sampling(), Classification(DataClass.PUBLIC), decision, Surroundings())
    pieces = [await anext(answer)]
    await rotation(link, folder).replace_once()
    fake.escalations.released.set()
    pieces += [piece async for piece in answer]
    await link.close()
    assert pieces[:2] == ["half", " of it"]
    assert isinstance(pieces[2], Completion)


async def test_a_channel_in_use_is_closed_when_its_last_call_has_ended(fake: RunningFakeHub) -> None:
    link = HubLink(fake.identity())
    with link.use() as old:
        link.replace(fake.identity())
        await old.channel_ready()
        with link.use() as new:
            assert new is not old
    with link.use() as present:
        assert present is new
    await link.close()
    assert old.get_state().name == "SHUTDOWN"


@pytest.mark.parametrize("seed", range(20))
def test_it_is_renewed_at_two_thirds_of_its_life_not_by_all_at_once(identity: Identity, seed: int) -> None:
    begin, end = identity.certificate.not_valid_before_utc, identity.expire_time
    share = (due_time(identity, RotationTimes(), random.Random(seed)) - begin) / (end - begin)
    assert 2 / 3 - 0.05 <= share <= 2 / 3 + 0.05


@pytest.fixture
async def identity(fake: RunningFakeHub) -> Identity:
    return fake.identity()


@pytest.mark.parametrize(
    ("hub", "enrollment", "address"),
    [
        ("hub.example.org:7444", "hub.example.org:9000", "hub.example.org:9000"),
        ("hub.example.org:7444", "", "hub.example.org:7443"),
        ("[2001:db8::1]:7444", "", "[2001:db8::1]:7443"),
    ],
)
def test_an_identity_of_an_earlier_version_is_recovered_at_the_usual_port(
    identity: Identity, hub: str, enrollment: str, address: str
) -> None:
    assert recovery_address(replace(identity, hub_address=hub, enrollment_address=enrollment)) == address
