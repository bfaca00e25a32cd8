"""Agents' sessions: heartbeats, what is wanted, who is shut out; over real mTLS."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from contract.errors import Reason
from hub.config import Limits, ProviderSettings
from seawall.hub.v1 import agent_pb2, command_pb2, event_pb2, group_pb2, session_pb2
from seawall.hub.v1.escalation_pb2 import PROVIDER_TIER_PRIVATE, PROVIDER_TIER_PUBLIC
from tests.fakes.hub import Identity, RunningHub, running_hub
from tests.fakes.hub_errors import reason_of
from tests.fakes.hub_operator import Operator
from tests.fakes.hub_session import session


@pytest.fixture
async def hub(tmp_path: Path, database_url: str) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub", database_url=database_url) as running:
        yield running


@pytest.fixture
async def identity(hub: RunningHub) -> Identity:
    return await hub.enroll("plant-7")


@pytest.fixture
async def operator(hub: RunningHub) -> AsyncIterator[Operator]:
    async with hub.channel(hub.operator) as channel:
        yield Operator(channel)


async def test_an_agent_is_welcomed_and_its_heartbeats_are_answered(hub: RunningHub, identity: Identity, operator: Operator) -> None:
    async with session(hub, identity) as agent:
        welcome = await agent.hello(version="9.9")
        assert welcome.heartbeat_interval.ToSeconds() == 30
        assert welcome.HasField("hub_time")
        assert (await agent.beat(1)).heartbeat.number == 1
        found = await operator.agent()
        assert found.connected
        assert found.report.version == "9.9"


async def test_an_agent_is_told_of_the_hub_and_its_providers_as_they_are_configured(tmp_path: Path) -> None:
    known = ProviderSettings(name="house", kind="openai", model="m", tier="private", region="de-fra", operator="acme", retention_days=0)
    unknown = ProviderSettings(name="cloud", kind="openai", model="m", tier="public", region="us")
    async with (
        running_hub(tmp_path / "hub", [known, unknown], region="de-fra", operator="acme") as hub,
        session(hub, await hub.enroll("plant-7")) as agent,
    ):
        told = (await agent.hello()).hub
    house, cloud = told.providers
    assert (told.region, told.operator) == ("de-fra", "acme")
    assert (house.name, house.tier, house.region, house.operator) == ("house", PROVIDER_TIER_PRIVATE, "de-fra", "acme")
    assert (house.HasField("retention_days"), cloud.HasField("retention_days")) == (True, False)
    assert (cloud.name, cloud.tier, cloud.operator) == ("cloud", PROVIDER_TIER_PUBLIC, "")


async def test_what_a_group_wants_reaches_a_connected_agent_and_its_answer_the_operator(
    hub: RunningHub, identity: Identity, operator: Operator
) -> None:
    async with session(hub, identity) as agent:
        await agent.hello()
        await operator.want("careful", escalation_disabled=True, floor="internal")
        wanted = (await agent.receive()).desired_state
        assert wanted.configuration == group_pb2.Configuration(escalation_disabled=True, floor="internal")
        await agent.send(configuration=session_pb2.ConfigurationOutcome(generation=wanted.generation))
        assert (await agent.receive()).outcome_received.generation == wanted.generation
        found = await operator.agent()
        assert found.desired_generation == found.applied_generation == wanted.generation


async def test_a_refusal_is_shown(hub: RunningHub, identity: Identity, operator: Operator) -> None:
    await operator.want("careful", floor="internal")
    async with session(hub, identity) as agent:
        await agent.hello()
        generation = (await agent.receive()).desired_state.generation
        await agent.send(configuration=session_pb2.ConfigurationOutcome(generation=generation, refusal="CONFIGURATION_WIDENS: so"))
        await agent.receive()
        found = await operator.agent()
        assert (found.refusal, found.applied_generation) == ("CONFIGURATION_WIDENS: so", 0)


async def test_a_refusal_ends_when_the_agent_runs_by_what_it_refused_though_its_word_of_it_was_lost(
    hub: RunningHub, identity: Identity, operator: Operator
) -> None:
    await operator.want("careful", floor="internal")
    async with session(hub, identity) as agent:
        await agent.hello()
        generation = (await agent.receive()).desired_state.generation
        await agent.send(configuration=session_pb2.ConfigurationOutcome(generation=generation, refusal="CONFIGURATION_WIDENS: so"))
        await agent.receive()
    async with session(hub, identity) as agent:
        await agent.hello(applied=generation)
        found = await operator.agent()
        assert (found.refusal, found.applied_generation) == ("", generation)


async def test_an_agent_that_has_lost_what_it_ran_by_is_told_that_nothing_is_wanted(hub: RunningHub, identity: Identity) -> None:
    async with session(hub, identity) as agent:
        await agent.hello(applied=-1)
        assert (await agent.receive()).desired_state == session_pb2.DesiredState(configuration=group_pb2.Configuration())


async def test_what_an_agent_has_is_not_sent_again_and_what_it_lacks_is(hub: RunningHub, identity: Identity, operator: Operator) -> None:
    await operator.want("careful", floor="internal")
    async with session(hub, identity) as agent:
        await agent.hello()
        generation = (await agent.receive()).desired_state.generation
    async with session(hub, identity) as agent:
        await agent.hello()
        assert (await agent.receive()).desired_state.generation == generation
    async with session(hub, identity) as agent:
        await agent.hello(applied=generation)
        command = await operator.command()
        assert (await agent.receive()).command.name == command.name


async def test_an_agent_that_was_told_more_than_the_hub_remembers_is_told_anew(hub: RunningHub, identity: Identity) -> None:
    async with session(hub, identity) as agent:
        await agent.hello(applied=10**12)
        wanted = (await agent.receive()).desired_state
        assert wanted.generation > 10**12
        assert wanted.configuration == group_pb2.Configuration()


async def test_no_number_that_an_agent_says_keeps_the_others_from_their_configuration(
    hub: RunningHub, identity: Identity, operator: Operator
) -> None:
    for applied in (2**62 - 1, 2**63 - 2):
        async with session(hub, identity) as rogue:
            await rogue.send(hello=session_pb2.Hello(applied_generation=applied))
            if applied == 2**62 - 1:
                await rogue.receive()
            else:
                await rogue.ending()
    async with session(hub, await hub.enroll("plant-8")) as other:
        await other.hello()
        for group_id, floor in (("a", "internal"), ("b", "confidential")):
            await operator.want(group_id, floor=floor)
            assert (await other.receive()).desired_state.configuration.floor == floor
    assert (await operator.agent()).desired_generation > 2**62


async def test_a_command_is_sent_until_it_is_begun_and_its_result_is_kept(hub: RunningHub, identity: Identity, operator: Operator) -> None:
    made = await operator.command()
    for _ in range(2):
        async with session(hub, identity) as agent:
            await agent.hello()
            assert (await agent.receive()).command.name == made.name
    async with session(hub, identity) as agent:
        await agent.hello()
        await agent.receive()
        assert (await agent.report(made, command_pb2.Command.BEGUN)).outcome_received.command == made.name
    async with session(hub, identity) as agent:
        await agent.hello()
        assert (await agent.report(made, command_pb2.Command.SUCCEEDED, "all is well")).outcome_received.command == made.name
    found = await operator.commands.GetCommand(command_pb2.GetCommandRequest(name=made.name))
    assert (found.state, found.output) == (command_pb2.Command.SUCCEEDED, "all is well")


@pytest.mark.parametrize(("method", "reason"), [("SuspendAgent", Reason.AGENT_SUSPENDED), ("RetireAgent", Reason.AGENT_RETIRED)])
async def test_an_open_stream_ends_when_its_agent_is_shut_out(
    hub: RunningHub, identity: Identity, operator: Operator, method: str, reason: Reason
) -> None:
    async with session(hub, identity) as agent:
        await agent.hello()
        request = getattr(agent_pb2, f"{method}Request")(name="agents/plant-7", reason="stolen")
        await getattr(operator.agents, method)(request)
        error = await agent.ending()
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.PERMISSION_DENIED, reason)
    async with session(hub, identity) as agent:
        assert reason_of(await agent.ending()) == reason


async def test_a_resumed_agent_is_let_in_again(hub: RunningHub, identity: Identity, operator: Operator) -> None:
    await operator.agents.SuspendAgent(agent_pb2.SuspendAgentRequest(name="agents/plant-7"))
    await operator.agents.ResumeAgent(agent_pb2.ResumeAgentRequest(name="agents/plant-7"))
    async with session(hub, identity) as agent:
        await agent.hello()


async def test_a_second_session_ends_the_first(hub: RunningHub, identity: Identity) -> None:
    async with session(hub, identity) as first, session(hub, identity) as second:
        await first.hello()
        await second.hello()
        error = await first.ending()
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.ABORTED, Reason.SESSION_REPLACED)
        assert (await second.beat(1)).heartbeat.number == 1


@pytest.mark.parametrize(
    "messages",
    [
        [{"heartbeat": session_pb2.Heartbeat(number=1)}],
        [{}],
        [{"hello": session_pb2.Hello(applied_generation=-2)}],
        [{"hello": session_pb2.Hello(applied_generation=2**62)}],
        [{"hello": session_pb2.Hello(applied_generation=2**63 - 2)}],
        [{"hello": session_pb2.Hello()}, {"configuration": session_pb2.ConfigurationOutcome(generation=2**63 - 1)}],
        [{"hello": session_pb2.Hello()}, {"configuration": session_pb2.ConfigurationOutcome(generation=2**62, refusal="no")}],
        [{"hello": session_pb2.Hello()}, {"hello": session_pb2.Hello()}],
        [{"hello": session_pb2.Hello(report=agent_pb2.AgentReport(version="v" * 5000))}],
        [
            {"hello": session_pb2.Hello()},
            {"command": session_pb2.CommandOutcome(name="agents/plant-8/commands/x", state=command_pb2.Command.FAILED)},
        ],
        [
            {"hello": session_pb2.Hello()},
            {"command": session_pb2.CommandOutcome(name="agents/plant-7/commands/x", state=command_pb2.Command.PENDING)},
        ],
    ],
)
async def test_a_session_that_is_not_as_agreed_ends(hub: RunningHub, identity: Identity, messages: list[dict[str, Any]]) -> None:
    async with session(hub, identity) as agent:
        for message in messages:
            await agent.send(**message)
        error = await agent.ending()
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, Reason.SESSION_INVALID)


async def test_a_hub_that_stops_ends_its_sessions_and_remembers_when_agents_were_there(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "again") as hub:
        identity = await hub.enroll("plant-7")
        async with session(hub, identity) as agent:
            await agent.hello()
            await hub.hub.stop()
            assert (await agent.ending()).code() is grpc.StatusCode.UNAVAILABLE
    async with running_hub(tmp_path / "again") as hub, hub.channel(hub.operator) as channel:
        found = await Operator(channel).agent()
        assert found.HasField("last_seen_time")
        assert not found.connected


async def test_a_full_hub_says_when_to_come_back(tmp_path: Path) -> None:
    async with (
        running_hub(tmp_path / "small", limits=Limits(stop_seconds=0, sessions=1)) as hub,
        session(hub, await hub.enroll("plant-7")) as first,
        session(hub, await hub.enroll("plant-8")) as second,
    ):
        await first.hello()
        await second.send(hello=session_pb2.Hello())
        error: Any = await second.ending()
    status = rpc_status.from_call(error)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (error.code(), info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.HUB_BUSY)
    assert retry.retry_delay.seconds > 0


async def test_an_operator_sees_that_an_agents_policy_changed_and_that_it_refused_one(
    hub: RunningHub, identity: Identity, operator: Operator
) -> None:
    refused = agent_pb2.AgentReport(policy_digest="sha256:2", policy="policies/fleet/versions/2", policy_trouble="POLICY_INVALID: no.")
    async with session(hub, identity) as agent:
        await agent.hello()
        await agent.send(report=agent_pb2.AgentReport(policy_digest="sha256:2", policy="policies/fleet/versions/2"))
        await agent.send(report=refused)
        await agent.send(report=refused)
        await agent.beat(1)
        found = await operator.agent()
    assert found.report == refused
    listed = await operator.events.ListEvents(event_pb2.ListEventsRequest())
    told = [(event.type, event.subject, event.detail) for event in listed.events if event.type.startswith("POLICY")]
    assert told == [
        ("POLICY_CHANGED", "agents/plant-7", "policies/fleet/versions/2: sha256:2"),
        ("POLICY_REFUSED", "agents/plant-7", "POLICY_INVALID: no."),
    ]
