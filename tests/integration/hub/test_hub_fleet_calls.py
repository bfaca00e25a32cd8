"""Labels, groups, commands and events, as an operator's program calls them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import grpc.aio
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from contract.errors import Reason
from hub.clock import utc_now
from seawall.hub.v1 import agent_pb2, command_pb2, event_pb2, group_pb2
from tests.fakes.hub import RunningHub, running_hub
from tests.fakes.hub_errors import reason_of
from tests.fakes.hub_operator import Operator
from tests.fakes.hub_session import session


class Clock:
    """The hub's time, which a test moves on."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def hub(tmp_path: Path, clock: Clock, database_url: str) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub", clock=clock, database_url=database_url) as running:
        yield running


@pytest.fixture
async def operator(hub: RunningHub) -> AsyncIterator[Operator]:
    await hub.enroll("plant-7")
    async with hub.channel(hub.operator) as channel:
        yield Operator(channel)


@contextmanager
def refused(reason: Reason) -> Iterator[None]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        yield
    assert reason_of(raised.value) == reason


async def test_without_a_mask_what_is_not_filled_in_stays(operator: Operator) -> None:
    made = await operator.groups.CreateGroup(
        group_request(
            expression="labels.site:*",
            priority=4,
            configuration=group_pb2.Configuration(floor="internal"),
            quota=group_pb2.Quota(tokens_per_day=9),
        )
    )
    changed = await operator.groups.UpdateGroup(group_pb2.UpdateGroupRequest(group=group_pb2.Group(name=made.name, priority=5)))
    assert (changed.priority, changed.expression, changed.configuration.floor) == (5, "labels.site:*", "internal")
    assert changed.quota == made.quota
    await label(operator, site="oslo")
    agent = await operator.agents.UpdateAgent(agent_pb2.UpdateAgentRequest(agent=agent_pb2.Agent(name="agents/plant-7")))
    assert dict(agent.labels) == {"site": "oslo"}
    with refused(Reason.ETAG_MISMATCH):
        await operator.agents.UpdateAgent(agent_pb2.UpdateAgentRequest(agent=agent_pb2.Agent(name="agents/plant-7", etag="99")))


async def test_a_star_replaces_all(operator: Operator) -> None:
    made = await operator.groups.CreateGroup(group_request(expression="labels.site:*", quota=group_pb2.Quota(tokens_per_day=9)))
    change = group_pb2.UpdateGroupRequest(group=group_pb2.Group(name=made.name, priority=5), update_mask=FieldMask(paths=["*"]))
    changed = await operator.groups.UpdateGroup(change)
    assert (changed.priority, changed.expression, changed.HasField("quota")) == (5, "", False)
    await label(operator, site="oslo")
    for paths in (["*"], ["labels"]):
        wanted = agent_pb2.Agent(name="agents/plant-7", labels={} if paths == ["*"] else {"site": "bergen"})
        agent = await operator.agents.UpdateAgent(agent_pb2.UpdateAgentRequest(agent=wanted, update_mask=FieldMask(paths=paths)))
        assert agent.labels == wanted.labels


async def label(operator: Operator, etag: str = "", **labels: str) -> agent_pb2.Agent:
    agent = agent_pb2.Agent(name="agents/plant-7", labels=labels, etag=etag)
    result = await operator.agents.UpdateAgent(agent_pb2.UpdateAgentRequest(agent=agent))
    assert isinstance(result, agent_pb2.Agent)
    return result


def group_request(group_id: str = "oslo", **fields: Any) -> group_pb2.CreateGroupRequest:
    return group_pb2.CreateGroupRequest(group_id=group_id, group=group_pb2.Group(**fields), request_id=str(uuid4()))


async def test_agents_are_found_by_their_labels(hub: RunningHub, operator: Operator) -> None:
    await hub.enroll("plant-8")
    await label(operator, site="oslo")
    found = await operator.agents.ListAgents(agent_pb2.ListAgentsRequest(filter='labels.site = "oslo"'))
    assert [agent.name for agent in found.agents] == ["agents/plant-7"]
    with refused(Reason.FILTER_INVALID):
        await operator.agents.ListAgents(agent_pb2.ListAgentsRequest(filter="site oslo"))


async def test_a_change_of_what_was_changed_meanwhile_is_refused(operator: Operator) -> None:
    before = await operator.agent()
    after = await label(operator, before.etag, site="oslo")
    assert dict(after.labels) == {"site": "oslo"}
    with refused(Reason.ETAG_MISMATCH):
        await label(operator, before.etag, site="bergen")


@pytest.mark.parametrize("labels", [{"Site": "oslo"}, {"site": "o" * 64}, {"site": "a\nb"}, {f"k{number}": "" for number in range(65)}])
async def test_labels_that_are_none_are_refused(operator: Operator, labels: dict[str, str]) -> None:
    with refused(Reason.FIELD_INVALID):
        await label(operator, **labels)


async def test_of_a_retired_agent_the_name_alone_comes_back(hub: RunningHub, operator: Operator) -> None:
    await label(operator, site="oslo")
    await operator.agents.RetireAgent(agent_pb2.RetireAgentRequest(name="agents/plant-7"))
    with refused(Reason.AGENT_RETIRED):
        await operator.agents.ResumeAgent(agent_pb2.ResumeAgentRequest(name="agents/plant-7"))
    with refused(Reason.AGENT_RETIRED):
        await operator.command()
    await hub.enroll("plant-7")
    found = await operator.agent()
    assert (found.state, dict(found.labels)) == (agent_pb2.Agent.ACTIVE, {})


async def test_groups_are_put_together_by_priority(hub: RunningHub, operator: Operator) -> None:
    await label(operator, site="oslo")
    every = group_pb2.Configuration(floor="internal", max_output_tokens=100)
    oslo = group_pb2.Configuration(floor="confidential")
    await operator.groups.CreateGroup(group_request("oslo", expression="labels.site = oslo", priority=2, configuration=oslo))
    await operator.groups.CreateGroup(group_request("all", priority=1, configuration=every))
    await operator.groups.CreateGroup(
        group_request("bergen", expression="labels.site = bergen", priority=3, configuration=group_pb2.Configuration(floor="public"))
    )
    found = await operator.agent()
    async with session(hub, await hub.enroll("plant-9")) as agent:
        await agent.hello()
        assert (await agent.receive()).desired_state.configuration == every
    await operator.groups.DeleteGroup(group_pb2.DeleteGroupRequest(name="groups/bergen"))
    assert (await operator.agent()).desired_generation == found.desired_generation
    await operator.groups.DeleteGroup(group_pb2.DeleteGroupRequest(name="groups/oslo"))
    assert (await operator.agent()).desired_generation > found.desired_generation
    assert [group.name for group in (await operator.groups.ListGroups(group_pb2.ListGroupsRequest())).groups] == ["groups/all"]


async def test_a_group_is_made_once_a_request(operator: Operator) -> None:
    request = group_request(priority=4)
    made = await operator.groups.CreateGroup(request)
    assert await operator.groups.CreateGroup(request) == made
    with refused(Reason.GROUP_EXISTS):
        await operator.groups.CreateGroup(group_request(priority=4))


async def test_a_part_of_a_group_is_changed(operator: Operator) -> None:
    made = await operator.groups.CreateGroup(group_request(expression="labels.site:*", priority=4))
    change = group_pb2.UpdateGroupRequest(group=group_pb2.Group(name=made.name, priority=5, etag=made.etag))
    change.update_mask.paths.append("priority")
    changed = await operator.groups.UpdateGroup(change)
    assert (changed.expression, changed.priority) == ("labels.site:*", 5)
    with refused(Reason.ETAG_MISMATCH):
        await operator.groups.UpdateGroup(change)


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        ({"expression": "state = ACTIVE"}, Reason.FILTER_INVALID),
        ({"expression": "labels"}, Reason.FILTER_INVALID),
        ({"configuration": group_pb2.Configuration(floor="secret")}, Reason.FIELD_INVALID),
        ({"configuration": group_pb2.Configuration(trust_bar=1.1)}, Reason.FIELD_INVALID),
        ({"configuration": group_pb2.Configuration(trust_bar=float("nan"))}, Reason.FIELD_INVALID),
        ({"configuration": group_pb2.Configuration(max_output_tokens=0)}, Reason.FIELD_INVALID),
        ({"configuration": group_pb2.Configuration(log_level="loud")}, Reason.FIELD_INVALID),
        ({"quota": group_pb2.Quota(escalations_per_day=0)}, Reason.FIELD_INVALID),
        ({"quota": group_pb2.Quota(tokens_per_day=-1)}, Reason.FIELD_INVALID),
        ({"quota": group_pb2.Quota(tokens_per_day=10**15 + 1)}, Reason.FIELD_INVALID),
        ({"group_id": "Not-A-Name"}, Reason.NAME_INVALID),
    ],
)
async def test_a_group_that_cannot_be_is_refused(operator: Operator, group: dict[str, Any], reason: Reason) -> None:
    with refused(reason):
        await operator.groups.CreateGroup(group_request(**group))


async def test_commands_with_large_outputs_and_errors_can_be_listed(hub: RunningHub, operator: Operator) -> None:
    async with session(hub, await hub.enroll("plant-8")) as agent:
        await agent.hello()
        for _ in range(20):
            request = command_pb2.CreateCommandRequest(
                parent="agents/plant-8", command=command_pb2.Command(action=command_pb2.Command.FETCH_LOGS), request_id=str(uuid4())
            )
            made = await operator.commands.CreateCommand(request)
            await agent.receive()
            await agent.report(made, command_pb2.Command.SUCCEEDED, "Æ" * 256 * 1024)
    listed = await operator.commands.ListCommands(command_pb2.ListCommandsRequest(parent="agents/plant-8", page_size=1000))
    assert (len(listed.commands), listed.next_page_token) == (20, "")
    assert {command.output for command in listed.commands} == {""}
    found = await operator.commands.GetCommand(command_pb2.GetCommandRequest(name=made.name))
    assert len(found.output) == 256 * 1024


async def test_a_command_that_is_not_begun_can_be_taken_back(operator: Operator) -> None:
    made = await operator.command()
    for _ in range(2):
        cancelled = await operator.commands.CancelCommand(command_pb2.CancelCommandRequest(name=made.name))
        assert cancelled.state == command_pb2.Command.CANCELLED
    other = await operator.command(command_pb2.Command.RESTART)
    await operator.agents.RetireAgent(agent_pb2.RetireAgentRequest(name="agents/plant-7"))
    found = await operator.commands.ListCommands(command_pb2.ListCommandsRequest(parent="agents/plant-7"))
    assert [command.name for command in found.commands] == [other.name, made.name]


async def test_a_command_that_was_begun_cannot_be_taken_back(hub: RunningHub, operator: Operator) -> None:
    identity = await hub.enroll("plant-8")
    request = command_pb2.CreateCommandRequest(
        parent="agents/plant-8", command=command_pb2.Command(action=command_pb2.Command.RESTART), request_id=str(uuid4())
    )
    made = await operator.commands.CreateCommand(request)
    assert await operator.commands.CreateCommand(request) == made
    async with session(hub, identity) as agent:
        await agent.hello()
        await agent.report((await agent.receive()).command, command_pb2.Command.BEGUN)
    with refused(Reason.COMMAND_BEGUN):
        await operator.commands.CancelCommand(command_pb2.CancelCommandRequest(name=made.name))


async def test_a_command_that_is_not_begun_in_time_expires(operator: Operator, clock: Clock) -> None:
    made = await operator.command()
    clock.ahead = timedelta(days=1, seconds=1)
    found = await operator.commands.GetCommand(command_pb2.GetCommandRequest(name=made.name))
    assert found.state == command_pb2.Command.EXPIRED


async def test_pages_of_commands_follow_each_other(operator: Operator) -> None:
    made = [(await operator.command()).name for _ in range(5)]
    names, token = [], ""
    while True:
        page = await operator.commands.ListCommands(command_pb2.ListCommandsRequest(parent="agents/-", page_size=2, page_token=token))
        names += [command.name for command in page.commands]
        token = page.next_page_token
        if not token:
            break
    assert names == made[::-1]


async def read_until(watch: Any, wanted: Callable[[event_pb2.Event], bool]) -> list[event_pb2.Event]:
    events: list[event_pb2.Event] = []
    async with asyncio.timeout(20):
        while not (events and wanted(events[-1])):
            response = await watch.read()
            if response.HasField("event"):
                events.append(response.event)
    return events


async def test_events_are_watched_as_they_happen_and_a_watch_goes_on_where_it_was_cut_off(hub: RunningHub, operator: Operator) -> None:
    watch = operator.events.WatchEvents(event_pb2.WatchEventsRequest(after_sequence=0))
    assert [event.type for event in await read_until(watch, lambda event: event.type == "AGENT_ENROLLED")] == ["AGENT_ENROLLED"]
    await label(operator, site="oslo")
    seen = (await read_until(watch, lambda event: event.type == "AGENT_UPDATED"))[-1]
    assert (seen.subject, seen.actor) == ("agents/plant-7", "spiffe://seawall.test/operators/admin")
    watch.cancel()
    async with session(hub, await hub.enroll("plant-8")) as agent:
        await agent.hello()
    watch = operator.events.WatchEvents(event_pb2.WatchEventsRequest(after_sequence=seen.sequence))
    missed = await read_until(watch, lambda event: event.type == "AGENT_DISCONNECTED")
    assert [event.type for event in missed] == ["AGENT_ENROLLED", "AGENT_CONNECTED", "AGENT_DISCONNECTED"]
    watch.cancel()
    listed = await operator.events.ListEvents(event_pb2.ListEventsRequest(page_size=3))
    assert [event.sequence for event in listed.events] == [1, 2, 3]
    rest = await operator.events.ListEvents(event_pb2.ListEventsRequest(page_token=listed.next_page_token))
    assert [event.sequence for event in rest.events] == [4, 5]


async def test_who_would_go_on_where_nothing_is_kept_is_told_so(operator: Operator) -> None:
    watch = operator.events.WatchEvents(event_pb2.WatchEventsRequest(after_sequence=1000))
    with refused(Reason.EVENTS_FORGOTTEN):
        await watch.read()


async def test_a_watch_from_now_says_that_it_stands(operator: Operator) -> None:
    watch = operator.events.WatchEvents(event_pb2.WatchEventsRequest())
    first = await watch.read()
    assert (first.HasField("event"), first.sequence) == (False, 1)
    watch.cancel()
