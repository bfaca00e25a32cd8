"""Rollouts over gRPC: operators who begin and stop them, agents that take the version or do not."""

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from contract.errors import Reason
from hub.clock import utc_now
from seawall.hub.v1 import event_pb2, event_pb2_grpc, rollout_pb2, rollout_pb2_grpc
from tests.fakes.fleet_agent import eventually
from tests.fakes.hub import Identity, RunningHub, running_hub
from tests.fakes.hub_errors import reason_of
from tests.fakes.hub_process import serving
from tests.fakes.postgres import Postgres
from tests.fakes.release_agent import ReleaseAgent, Way, connected, enroll_all, fleet, publish, state_of
from tests.fakes.rollouts import wave

NAME = "rollouts/june"


@dataclass
class Site:
    """A hub with two published versions, and an operator's stub."""

    hub: RunningHub
    stub: Any
    events: Any
    versions: list[str]

    async def create(self, *waves: rollout_pb2.Wave, version: int = 0, rollout_id: str = "june", **fields: Any) -> rollout_pb2.Rollout:
        wanted = rollout_pb2.Rollout(model_version=self.versions[version], waves=waves, **fields)
        request = rollout_pb2.CreateRolloutRequest(rollout_id=rollout_id, rollout=wanted, request_id=str(uuid.uuid4()))
        made = await self.stub.CreateRollout(request)
        assert isinstance(made, rollout_pb2.Rollout)
        return made

    async def rollout(self, name: str = NAME) -> rollout_pb2.Rollout:
        found = await self.stub.GetRollout(rollout_pb2.GetRolloutRequest(name=name))
        assert isinstance(found, rollout_pb2.Rollout)
        return found

    async def until(self, state: str, name: str = NAME) -> rollout_pb2.Rollout:
        """Watches a rollout until it is in a state."""
        call = self.stub.WatchRollout(rollout_pb2.WatchRolloutRequest(name=name))
        async with asyncio.timeout(60):
            async for shown in call:
                if state_of(shown) == state:
                    call.cancel()
                    assert isinstance(shown, rollout_pb2.Rollout)
                    return shown
        raise AssertionError(f"it ended as {state_of(shown)}")


@dataclass(frozen=True)
class Elsewhere:
    """Another process of the same hub."""

    hub: RunningHub
    mtls_target: str

    def channel(self, identity: Identity) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(self.hub.ca_certificate, identity.key, identity.certificate)
        return grpc.aio.secure_channel(self.mtls_target, credentials, [("grpc.enable_http_proxy", 0)])


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_hub(tmp_path / "hub") as hub, hub.channel(hub.operator) as channel:
        versions = await publish(hub, "1.0.0", "2.0.0")
        yield Site(hub, rollout_pb2_grpc.RolloutServiceStub(channel), event_pb2_grpc.EventServiceStub(channel), versions)


async def test_three_waves_come_to_their_end_one_after_the_other(site: Site) -> None:
    oslo = await enroll_all(site.hub, ["oslo-1", "oslo-2"], site="oslo")
    rest = await enroll_all(site.hub, [f"b-{number}" for number in range(6)], site="bergen")
    async with fleet(site.hub, oslo | rest) as agents:
        await site.create(wave("labels.site = oslo"), wave(percent=50), wave())
        done = await site.until("COMPLETED")
        assert {agent.serves for agent in agents.values()} == {site.versions[0]}
        await eventually(lambda: all(agent.told == [("TAKE", site.versions[0])] for agent in agents.values()))
    assert (done.current_wave, done.state_reason) == (3, "")
    assert sum(progress.proven for progress in done.progress) == 8
    times = [progress.end_time.ToDatetime() for progress in done.progress]
    assert times == sorted(times)
    assert done.progress[1].begin_time.ToDatetime() >= times[0]
    listed = await site.stub.ListRolloutAgents(rollout_pb2.ListRolloutAgentsRequest(parent=NAME, states=[rollout_pb2.ReleaseReport.PROVEN]))
    assert [one.agent for one in listed.rollout_agents] == sorted(f"agents/{name}" for name in agents)
    assert listed.rollout_agents[0].report.figures["speed_ratio"] == 1.0


@pytest.mark.parametrize("way", [Way.REFUSE, Way.GIVE_UP])
async def test_a_bad_version_stops_at_its_first_wave_and_all_that_took_it_go_back(site: Site, way: Way) -> None:
    oslo = await enroll_all(site.hub, ["oslo-1", "oslo-2", "oslo-3"], site="oslo")
    rest = await enroll_all(site.hub, ["bergen-1"], site="bergen")
    bad = {"oslo-2": {site.versions[1]: way}}
    async with fleet(site.hub, oslo | rest, bad) as agents:
        await site.create(wave(), rollout_id="may")
        await site.until("COMPLETED", "rollouts/may")
        await site.create(wave("labels.site = oslo"), wave(), version=1)
        stopped = await site.until("ROLLED_BACK")
        assert {agent.serves for agent in agents.values()} == {site.versions[0]}
        assert agents["bergen-1"].told == [("TAKE", site.versions[0])]
    assert "Wave 0: 1 of" in stopped.state_reason
    assert "agents/oslo-2" in stopped.state_reason
    assert "perplexity_ratio 3, limit 1.5" in stopped.state_reason
    kept = (await site.events.ListEvents(event_pb2.ListEventsRequest(page_size=1000))).events
    assert [event.subject for event in kept if event.type == "ROLLOUT_STOPPED"] == [NAME]


async def test_an_agent_that_was_off_joins_when_it_returns(site: Site) -> None:
    identities = await enroll_all(site.hub, ["on", "off"], site="oslo")
    async with fleet(site.hub, {"on": identities["on"]}):
        await site.create(wave())
        await site.until("COMPLETED")
    async with connected(site.hub, ReleaseAgent("off"), identities["off"]) as late:
        await eventually(lambda: late.serves == site.versions[0])
    await site.stub.RollBackRollout(rollout_pb2.RollBackRolloutRequest(name=NAME))
    async with connected(site.hub, late, identities["off"]):
        await eventually(lambda: late.serves == "")


async def test_operators_pause_approve_resume_and_cancel(site: Site) -> None:
    identities = await enroll_all(site.hub, ["oslo-1"], site="oslo") | await enroll_all(site.hub, ["bergen-1"], site="bergen")
    async with fleet(site.hub, identities) as agents:
        await site.create(wave("labels.site = oslo"), wave(needs_approval=True))
        waiting = await site.until("WAITING_FOR_APPROVAL")
        with pytest.raises(grpc.aio.AioRpcError) as stale:
            await site.stub.PauseRollout(rollout_pb2.PauseRolloutRequest(name=NAME, etag="1"))
        assert reason_of(stale.value) == Reason.ETAG_MISMATCH
        await site.stub.PauseRollout(rollout_pb2.PauseRolloutRequest(name=NAME, etag=waiting.etag, reason="lunch"))
        with pytest.raises(grpc.aio.AioRpcError) as paused:
            await site.stub.ApproveRollout(rollout_pb2.ApproveRolloutRequest(name=NAME, wave=1))
        assert reason_of(paused.value) == Reason.ROLLOUT_STATE
        await site.stub.ResumeRollout(rollout_pb2.ResumeRolloutRequest(name=NAME))
        assert agents["bergen-1"].told == []
        await site.stub.ApproveRollout(rollout_pb2.ApproveRolloutRequest(name=NAME, wave=1))
        await site.until("COMPLETED")
        await site.create(wave(needs_approval=True), version=1, rollout_id="july")
        with pytest.raises(grpc.aio.AioRpcError) as active:
            await site.create(wave(), rollout_id="august")
        assert reason_of(active.value) == Reason.ROLLOUT_ACTIVE
        cancelled = await site.stub.CancelRollout(rollout_pb2.CancelRolloutRequest(name="rollouts/july", reason="not now"))
        assert (state_of(cancelled), cancelled.state_reason) == ("CANCELLED", "not now")
    pages = await site.stub.ListRollouts(rollout_pb2.ListRolloutsRequest(page_size=1))
    rest = await site.stub.ListRollouts(rollout_pb2.ListRolloutsRequest(page_size=1, page_token=pages.next_page_token))
    assert [one.name for one in (*pages.rollouts, *rest.rollouts)] == ["rollouts/july", NAME]
    kept = (await site.events.ListEvents(event_pb2.ListEventsRequest(page_size=1000))).events
    assert "PAUSED: lunch" in [event.detail for event in kept if event.actor.startswith("spiffe://seawall.test/operators/")]


CALLS: list[tuple[Callable[[Site], Any], Reason]] = [
    (lambda site: site.rollout("rollouts/none"), Reason.ROLLOUT_NOT_FOUND),
    (lambda site: site.rollout("june"), Reason.NAME_INVALID),
    (lambda site: site.until("ACTIVE", "rollouts/none"), Reason.ROLLOUT_NOT_FOUND),
    (lambda site: site.stub.ListRollouts(rollout_pb2.ListRolloutsRequest(page_token="?")), Reason.PAGE_TOKEN_INVALID),
    (lambda site: site.stub.ListRolloutAgents(rollout_pb2.ListRolloutAgentsRequest(parent="rollouts/none")), Reason.ROLLOUT_NOT_FOUND),
    (
        lambda site: site.stub.ListRolloutAgents(
            rollout_pb2.ListRolloutAgentsRequest(parent=NAME, states=[rollout_pb2.ReleaseReport.STATE_UNSPECIFIED])
        ),
        Reason.FIELD_INVALID,
    ),
    (lambda site: site.create(wave(), rollout_id="June"), Reason.NAME_INVALID),
    (lambda site: site.create(), Reason.FIELD_INVALID),
    (lambda site: site.create(wave("site")), Reason.FILTER_INVALID),
]


async def test_what_is_refused_has_its_reason(site: Site) -> None:
    for call, reason in CALLS:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(site)
        assert reason_of(raised.value) == reason
    site.versions[0] = "models/tiny/versions/9"
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await site.create(wave())
    assert reason_of(raised.value) == Reason.RELEASE_NOT_FOUND


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=[pytest.mark.system, pytest.mark.timeout(600)])])
async def test_many_agents_in_one_wave(site: Site, count: int) -> None:
    identities = await enroll_all(site.hub, [f"a-{number}" for number in range(count)])
    silent = {"a-7": {site.versions[0]: Way.IGNORE}}
    async with fleet(site.hub, identities, silent) as agents:
        begun = utc_now()
        await site.create(wave())

        async def all_proven() -> bool:
            return (await site.rollout()).progress[0].proven == count - 1

        await eventually(all_proven, 300)
        print({"agents": count, "seconds": round((utc_now() - begun).total_seconds(), 1)})
        assert (await site.rollout()).progress[0].waiting == 1
        await site.stub.RollBackRollout(rollout_pb2.RollBackRolloutRequest(name=NAME))
        await eventually(lambda: not any(agent.serves for agent in agents.values()), 300)


@pytest.mark.system
async def test_one_of_two_hubs_is_killed_in_the_middle_and_the_other_ends_it(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.create_database()
    async with running_hub(tmp_path / "hub", database_url=url) as stays, stays.channel(stays.operator) as channel:
        versions = await publish(stays, "1.0.0")
        site = Site(stays, rollout_pb2_grpc.RolloutServiceStub(channel), None, versions)
        here = await enroll_all(stays, ["here-1", "here-2"], site="oslo")
        there = await enroll_all(stays, ["there-1", "there-2"], site="oslo")
        rest = await enroll_all(stays, ["rest-1"], site="bergen")
        with serving(tmp_path / "hub", SEAWALL_HUB_DATABASE_URL=url) as goes:
            silent = {name: {versions[0]: Way.IGNORE} for name in there}
            async with fleet(stays, here | rest), fleet(Elsewhere(stays, goes.mtls), there, silent) as moving:
                await site.create(wave("labels.site = oslo"), wave())
                await eventually(lambda: all(agent.told for agent in moving.values()), 30)
                goes.end(signal.SIGKILL)
                assert state_of(await site.rollout()) == "ACTIVE"
                async with fleet(stays, there) as moved:
                    done = await site.until("COMPLETED")
                    assert {agent.serves for agent in moved.values()} == {versions[0]}
    assert sum(progress.proven for progress in done.progress) == 5
