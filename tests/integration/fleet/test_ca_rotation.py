"""The hub's CA is replaced while its agents go on, are switched off, or come late."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from agent.identity.authorities import goes_with
from agent.identity.enrollment import enroll
from agent.identity.files import Identity, IdentityFolder
from agent.identity.handshake import is_hung_up_on
from agent.identity.renewal import recover
from agent.identity.rotation import Rotation, RotationTimes
from contract.errors import NotAuthenticated, Reason, SeawallError
from hub import rotation
from hub.config import Limits
from hub.folder import DataFolder, create
from seawall.hub.v1 import agent_pb2, agent_pb2_grpc, event_pb2, event_pb2_grpc
from tests.fakes.fleet_agent import FleetAgent, eventually, fleet_agent
from tests.fakes.hub import RunningHub, running_hub
from tests.fakes.hub_errors import reason_of
from tests.fakes.hub_rotation import finish, rotate, trust
from tests.integration.fleet.conftest import enrolled

LIMITS = Limits(stop_seconds=0, heartbeat_seconds=0.05)
QUICK = RotationTimes(first_delay=0.01, longest_delay=0.02, spread=0.01, longest_look=0.2)


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.trust.LOOK_SECONDS", 0.02)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub", limits=LIMITS) as running:
        yield running


@asynccontextmanager
async def renewing_agent(identity: Identity, folder: Path) -> AsyncIterator[FleetAgent]:
    """An agent that renews its certificate by itself."""
    identities = IdentityFolder(folder / "identity")
    identities.write(identity)
    async with fleet_agent(identity, folder) as agent:
        renewal = Rotation(agent.link, identities, lambda: datetime.now(UTC), random.Random(1), agent.told, QUICK)
        running = asyncio.create_task(renewal.run())
        try:
            yield agent
            assert not running.done(), running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def enroll_with(hub: RunningHub, token: str, agent_id: str) -> Identity:
    return enroll(token, hub.enrollment_target, hub.mtls_target, agent_id)


def is_of(hub: RunningHub, agent: FleetAgent) -> bool:
    return goes_with(agent.link.identity, trust(hub).key_hashes)


async def opens_a_session(identity: Identity, folder: Path) -> None:
    await asyncio.to_thread(folder.mkdir)
    async with fleet_agent(identity, folder) as agent:
        await eventually(lambda: agent.session.state == "open")


async def test_an_agent_follows_both_steps_by_itself_and_its_session_goes_on(hub: RunningHub, tmp_path: Path) -> None:
    async with renewing_agent(await enrolled(hub), tmp_path) as agent:
        await eventually(lambda: agent.session.state == "open")
        await rotate(hub)
        await eventually(lambda: is_of(hub, agent))
        assert len(x509.load_pem_x509_certificates(agent.link.identity.ca_pem)) == 2
        await finish(hub)
        await eventually(lambda: is_of(hub, agent))
        await eventually(lambda: agent.session.state == "open")
        assert agent.link.identity == IdentityFolder(tmp_path / "identity").read()
    assert agent.link.identity.ca_pem == hub.ca_certificate


async def test_an_agent_that_goes_with_the_hubs_cas_keeps_its_certificate(hub: RunningHub, tmp_path: Path) -> None:
    identity = await enrolled(hub)
    async with renewing_agent(identity, tmp_path) as agent:
        await eventually(lambda: agent.session.state == "open")
        await eventually(lambda: agent.told.key_hashes == trust(hub).key_hashes)
        await eventually(lambda: agent.metrics.registry.get_sample_value("seawall_agent_session_open") == 1)
    assert agent.link.identity == identity


async def test_tokens_of_both_cas_let_devices_in_until_the_rotation_is_finished(hub: RunningHub, tmp_path: Path) -> None:
    before, late = await hub.join_token(), await hub.join_token()
    await rotate(hub)
    during, after = await hub.join_token(), await hub.join_token()
    assert before.ca_key_hash != during.ca_key_hash == trust(hub).key_hashes[0]
    for token, agent_id in ((before, "plant-1"), (during, "plant-2")):
        identity = await asyncio.to_thread(enroll_with, hub, str(token), agent_id)
        assert goes_with(identity, trust(hub).key_hashes)
        await opens_a_session(identity, tmp_path / agent_id)
    await finish(hub)
    with pytest.raises(NotAuthenticated, match="ask its operator for a new token"):
        await asyncio.to_thread(enroll_with, hub, str(late), "plant-3")
    identity = await asyncio.to_thread(enroll_with, hub, str(after), "plant-3")
    await opens_a_session(identity, tmp_path / "plant-3")


async def test_a_hub_that_is_restarted_between_the_steps_knows_old_and_new_certificates(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub", limits=LIMITS) as hub:
        old = await enrolled(hub)
        await rotate(hub)
    async with running_hub(tmp_path / "hub", limits=LIMITS) as hub:
        moved = replace(old, hub_address=hub.mtls_target, enrollment_address=hub.enrollment_target)
        async with renewing_agent(moved, tmp_path) as agent:
            await eventually(lambda: is_of(hub, agent))
            await eventually(lambda: agent.session.state == "open")
        await finish(hub)
    async with running_hub(tmp_path / "hub", limits=LIMITS) as hub:
        await opens_a_session(replace(agent.link.identity, hub_address=hub.mtls_target), tmp_path / "again")


@pytest.mark.parametrize("rotations", [1, 2])
async def test_an_agent_that_was_off_all_the_while_comes_back_by_recovery(hub: RunningHub, tmp_path: Path, rotations: int) -> None:
    off = await enrolled(hub)
    for _ in range(rotations):
        await rotate(hub)
        await finish(hub)
    back = await recover(off, ec.generate_private_key(ec.SECP256R1()))
    assert back.ca_pem == hub.ca_certificate != off.ca_pem
    await opens_a_session(back, tmp_path / "back")


async def test_an_agent_that_was_left_behind_comes_back_by_itself_though_its_certificate_is_good(hub: RunningHub, tmp_path: Path) -> None:
    behind = await enrolled(hub)
    await rotate(hub)
    await finish(hub)
    async with renewing_agent(behind, tmp_path) as agent:
        await eventually(lambda: agent.session.state == "open")
    assert agent.link.identity.ca_pem == hub.ca_certificate != behind.ca_pem


async def test_an_agent_in_a_session_that_is_left_behind_comes_back_by_itself(hub: RunningHub, tmp_path: Path) -> None:
    """It is told of the new CA when it may still renew, and does not come to it."""
    identities = IdentityFolder(tmp_path / "identity")
    identities.write(await enrolled(hub))
    async with fleet_agent(identities.read(), tmp_path) as agent:
        await eventually(lambda: agent.session.state == "open")
        await rotate(hub)
        await finish(hub)
        await eventually(lambda: agent.session.state == "waiting: certificate-invalid")
        renewal = Rotation(agent.link, identities, lambda: datetime.now(UTC), random.Random(1), agent.told, QUICK)
        running = asyncio.create_task(renewal.run())
        await eventually(lambda: agent.session.state == "open")
        running.cancel()


async def test_a_hub_that_is_away_is_no_reason_for_a_new_certificate(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub", limits=LIMITS) as hub:
        identity = await enrolled(hub)
    async with renewing_agent(identity, tmp_path) as agent:
        await eventually(lambda: agent.session.state == "waiting: unavailable")
        assert not await asyncio.to_thread(is_hung_up_on, identity)
        assert agent.link.identity == identity


async def test_who_holds_the_old_cas_key_recovers_nobody(hub: RunningHub) -> None:
    """A former CA proves nothing but that it was ours: the agent's own key must be the one on record."""
    off, forged = await enrolled(hub), hub.issue("agent", "plant-7")
    await rotate(hub)
    await finish(hub)
    with pytest.raises(SeawallError) as caught:
        await recover(replace(off, key_pem=forged.key, certificate_pem=forged.certificate), ec.generate_private_key(ec.SECP256R1()))
    assert caught.value.reason is Reason.RECOVERY_REFUSED


async def test_a_session_with_a_certificate_of_the_old_ca_ends_when_it_is_trusted_no_more(hub: RunningHub, tmp_path: Path) -> None:
    async with fleet_agent(await enrolled(hub), tmp_path) as agent:
        await eventually(lambda: agent.session.state == "open")
        await rotate(hub)
        await eventually(lambda: agent.told.key_hashes == trust(hub).key_hashes)
        assert agent.session.state == "open"
        await finish(hub)
        await eventually(lambda: agent.session.state == "waiting: certificate-invalid")


async def test_a_connection_of_an_operator_of_the_old_ca_is_refused_from_then_on(hub: RunningHub) -> None:
    async with hub.channel(hub.operator) as channel:
        stub = agent_pb2_grpc.AgentServiceStub(channel)
        await rotate(hub)
        await stub.ListAgents(agent_pb2.ListAgentsRequest())
        await finish(hub)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListAgents(agent_pb2.ListAgentsRequest())
    assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.UNAUTHENTICATED, "CERTIFICATE_INVALID")
    async with hub.channel(hub.operator) as channel:
        await agent_pb2_grpc.AgentServiceStub(channel).ListAgents(agent_pb2.ListAgentsRequest())


async def read_to_the_end(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass


async def test_a_watch_of_an_operator_of_the_old_ca_ends(hub: RunningHub) -> None:
    async with hub.channel(hub.operator) as channel:
        watch: Any = event_pb2_grpc.EventServiceStub(channel).WatchEvents(event_pb2.WatchEventsRequest(), timeout=20)
        assert not (await watch.read()).HasField("event")
        await rotate(hub)
        await finish(hub)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read_to_the_end(watch)
    assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.UNAUTHENTICATED, "CERTIFICATE_INVALID")


async def test_keys_that_cannot_be_used_leave_a_running_hub_as_it_was(hub: RunningHub, tmp_path: Path) -> None:
    good = hub.folder.ca.key_path.read_bytes()
    hub.folder.ca.key_path.write_bytes(b"garbage")
    await asyncio.sleep(0.1)
    async with hub.first_contact_channel() as channel:
        await channel.channel_ready()
    hub.folder.ca.key_path.write_bytes(good)
    await rotate(hub)
    await opens_a_session(await enrolled(hub), tmp_path / "agent")


def test_a_bridge_is_good_for_as_long_as_somebody_may_come_back_over_it(tmp_path: Path) -> None:
    begin = datetime(2026, 11, 22, tzinfo=UTC)
    folder = DataFolder(tmp_path / "hub")
    create(folder, "seawall.test", [], lambda: begin)
    after = rotation.rotate(folder, folder.load_trust("seawall.test", lambda: begin), timedelta(days=120))
    assert after.bridges[0].not_valid_after_utc == begin + timedelta(days=120)
    assert folder.load_trust("seawall.test", lambda: begin + timedelta(days=119)).bridges == after.bridges
    assert folder.load_trust("seawall.test", lambda: begin + timedelta(days=121)).bridges == ()
