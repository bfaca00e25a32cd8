"""Quotas, all of it: an operator sets one, agents spend it, the hub refuses, the agent leaves it alone for a while."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from agent.escalation import Completion, EscalationFailed, HubEscalator
from agent.hub_link import HubLink
from agent.identity.files import Identity as AgentIdentity
from agent.prompts import Message, Sampling
from contract.classification import Classification, DataClass
from contract.decision import Decision, Route
from contract.surroundings import Provider, Surroundings
from hub.config import ProviderSettings
from seawall.hub.v1 import agent_pb2, escalation_pb2, escalation_pb2_grpc, group_pb2
from tests.fakes.hub import Identity, RunningHub, running_hub
from tests.fakes.hub_operator import Operator
from tests.fakes.postgres import Postgres
from tests.fakes.provider_server import ProviderServer, openai_answer, provider_server

DECISION = Decision(may_cache=True, routes=(Route(Provider("house", "private", "here")),))


@dataclass(frozen=True)
class Site:
    """A hub, its operator, a provider that counts, and one agent in the group `oslo`."""

    hub: RunningHub
    operator: Operator
    provider: ProviderServer
    agent: Identity

    async def quota(self, **quota: int) -> group_pb2.Group:
        wanted = group_pb2.Group(name="groups/oslo", quota=group_pb2.Quota(**quota))
        request = group_pb2.UpdateGroupRequest(group=wanted, update_mask=FieldMask(paths=["quota"]))
        group = await self.operator.groups.UpdateGroup(request)
        assert isinstance(group, group_pb2.Group)
        return group

    async def group(self) -> group_pb2.Group:
        group = await self.operator.groups.GetGroup(group_pb2.GetGroupRequest(name="groups/oslo"))
        assert isinstance(group, group_pb2.Group)
        return group


@asynccontextmanager
async def site(path: Path, database_url: str = "") -> AsyncIterator[Site]:
    async with (
        provider_server(openai_answer("hi")) as server,
        running_hub(path, [house(server)], database_url=database_url) as hub,
        hub.channel(hub.operator) as channel,
    ):
        operator = Operator(channel)
        group = group_pb2.Group(expression="labels.site = oslo")
        request = group_pb2.CreateGroupRequest(group_id="oslo", group=group, request_id=str(uuid.uuid4()))
        await operator.groups.CreateGroup(request)
        agent = await hub.enroll("plant-7")
        labelled = agent_pb2.Agent(name="agents/plant-7", labels={"site": "oslo"})
        await operator.agents.UpdateAgent(agent_pb2.UpdateAgentRequest(agent=labelled))
        yield Site(hub, operator, server, agent)


def house(server: ProviderServer) -> ProviderSettings:
    return ProviderSettings(name="house", kind="openai", base_url=f"{server.url}/v1", model="m", tier="private", region="here")


async def escalate(hub: RunningHub, agent: Identity, max_output_tokens: int = 10) -> int:
    """Returns how many tokens one answer took."""
    request = escalation_pb2.EscalatePromptRequest(
        request_id=str(uuid.uuid4()),
        messages=[escalation_pb2.ChatMessage(role=escalation_pb2.MESSAGE_ROLE_USER, content="hello")],
        allowed_providers=[escalation_pb2.ProviderProfile(name="house", tier=escalation_pb2.PROVIDER_TIER_PRIVATE, region="here")],
        data_class=escalation_pb2.DATA_CLASS_PUBLIC,
        max_output_tokens=max_output_tokens,
    )
    async with hub.channel(agent) as channel:
        call: Any = escalation_pb2_grpc.EscalationServiceStub(channel).EscalatePrompt(request, timeout=30)
        completion = [piece async for piece in call][-1].completion
    return int(completion.input_tokens + completion.output_tokens)


async def test_what_is_escalated_is_counted_and_shown_until_it_is_spent(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        assert not (await here.group()).HasField("quota_usage")
        assert (await here.quota(escalations_per_day=2, tokens_per_day=1000)).quota_usage.escalations == 0
        took = await escalate(here.hub, here.agent) + await escalate(here.hub, here.agent)
        shown = await here.group()
        assert (shown.quota_usage.escalations, shown.quota_usage.tokens) == (2, took)
        (listed,) = (await here.operator.groups.ListGroups(group_pb2.ListGroupsRequest())).groups
        assert listed == shown
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await escalate(here.hub, here.agent)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "groups/oslo is spent: 2 of 2 escalations" in str(raised.value.details())
        check_details(raised.value, shown)
        assert len(here.provider.requests) == 2
        await here.quota(escalations_per_day=3)
        await escalate(here.hub, here.agent)
        await here.quota()
        assert not (await here.group()).HasField("quota")


def check_details(error: Any, shown: group_pb2.Group) -> None:
    status = rpc_status.from_call(error)
    assert status is not None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.reason, info.domain, info.metadata["group"]) == ("QUOTA_SPENT", "seawall", "groups/oslo")
    assert info.metadata["resetTime"] == shown.quota_usage.reset_time.ToJsonString()
    assert 0 <= retry.retry_delay.seconds <= 60


async def test_a_change_of_something_else_leaves_the_quota(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.quota(tokens_per_day=500)
        request = group_pb2.UpdateGroupRequest(
            group=group_pb2.Group(name="groups/oslo", priority=3), update_mask=FieldMask(paths=["priority"])
        )
        assert (await here.operator.groups.UpdateGroup(request)).quota == group_pb2.Quota(tokens_per_day=500)


async def test_two_hubs_on_one_database_keep_one_quota(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.create_database()
    async with site(tmp_path, url) as here, running_hub(tmp_path, [house(here.provider)], database_url=url) as other:
        await here.quota(escalations_per_day=2)
        await escalate(here.hub, here.agent)
        await escalate(other, here.agent)
        for hub in (here.hub, other):
            with pytest.raises(grpc.aio.AioRpcError, match="2 of 2 escalations"):
                await escalate(hub, here.agent)
    assert len(here.provider.requests) == 2


async def test_an_agent_keeps_its_local_answer_and_sends_nothing_more_for_a_while(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        link = HubLink(
            AgentIdentity("plant-7", "seawall.test", here.hub.mtls_target, here.agent.key, here.agent.certificate, here.hub.ca_certificate)
        )
        now = [0.0]
        escalator = HubEscalator(link, clock=lambda: now[0])
        await here.quota(tokens_per_day=30)
        await escalator.connect()
        assert await failure(escalator) == ("quota-spent", True)
        with pytest.raises(EscalationFailed) as raised:
            await escalator.connect()
        assert (raised.value.why, raised.value.sent) == ("quota-spent", False)
        await here.quota(tokens_per_day=30_000)
        now[0] += 60
        await escalator.connect()
        assert isinstance([piece async for piece in ask(escalator)][-1], Completion)
        await link.close()
    assert len(here.provider.requests) == 1


async def test_an_agent_knows_what_is_left_once_the_hub_has_answered_and_until_the_day_ends(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        link = HubLink(
            AgentIdentity("plant-7", "seawall.test", here.hub.mtls_target, here.agent.key, here.agent.certificate, here.hub.ca_certificate)
        )
        now, today = [0.0], [datetime.now(UTC)]
        escalator = HubEscalator(link, clock=lambda: now[0], utc_now=lambda: today[0])
        assert [piece async for piece in ask(escalator)]
        assert escalator.budget_tokens() is None
        await here.quota(tokens_per_day=1000)
        completion = [piece async for piece in ask(escalator)][-1]
        assert isinstance(completion, Completion)
        assert escalator.budget_tokens() == 1000 - completion.input_tokens - completion.output_tokens
        today[0] += timedelta(days=1)
        assert escalator.budget_tokens() is None
        await here.quota(tokens_per_day=30)
        assert await failure(escalator) == ("quota-spent", True)
        assert escalator.budget_tokens() == 0
        now[0] += 60
        assert escalator.budget_tokens() is None
        await link.close()


def ask(escalator: HubEscalator) -> AsyncIterator[str | Completion]:
    return escalator.escalate(
        [Message("user", "hello")], Sampling(max_tokens=10), Classification(DataClass.PUBLIC), DECISION, Surroundings()
    )


async def failure(escalator: HubEscalator) -> tuple[str, bool]:
    with pytest.raises(EscalationFailed) as raised:
        await anext(ask(escalator))
    return raised.value.why, raised.value.sent
