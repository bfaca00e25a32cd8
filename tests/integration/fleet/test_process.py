"""The agent as a process of its own, with the real hub: told to restart, killed, narrowed while it answers."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent.daemon import RESTART_STATUS
from agent.identity.files import IdentityFolder
from agent.learning.sketching import MOST_WAITING
from agent.store.database import Database
from contract.identity import key_hash
from contract.tree_heads import public_der
from seawall.hub.v1 import audit_pb2, audit_pb2_grpc
from seawall.hub.v1.command_pb2 import Command
from seawall.hub.v1.group_pb2 import Configuration
from tests.fakes.fleet_agent import eventually
from tests.fakes.hub import RunningHub
from tests.fakes.hub_operator import Operator
from tests.fakes.running_agent import AgentProcess, running
from tests.integration.fleet.conftest import AGENT, enrolled
from tests.integration.fleet.hubs import HubUnderTest

pytestmark = pytest.mark.model

BUNDLE = Path(__file__).resolve().parents[3] / "build" / "models" / "smollm2-135m-instruct-int8"
ENDED = (Command.SUCCEEDED, Command.FAILED)


@pytest.fixture
async def agent(hub: HubUnderTest, tmp_path: Path) -> AsyncIterator[AgentProcess]:
    IdentityFolder(tmp_path / "state" / "identity").write(hub.identity)
    async with running(AgentProcess(tmp_path, BUNDLE, SEAWALL_AGENT_LEARNING__ENABLED="true")) as started:
        yield started


async def is_in(hub: HubUnderTest, name: str, *states: Command.State.ValueType) -> bool:
    return (await hub.command(name)).state in states


@pytest.mark.parametrize("hub", ["real"], indirect=True)
async def test_an_agent_that_is_told_to_restart_ends_with_the_status_for_it_and_says_so_when_it_is_back(
    hub: HubUnderTest, agent: AgentProcess
) -> None:
    name = await hub.tell(Command.RESTART)
    assert await agent.process.wait() == RESTART_STATUS
    assert not await is_in(hub, name, *ENDED)
    await agent.start()
    await eventually(lambda: is_in(hub, name, Command.SUCCEEDED), 60)


@pytest.mark.parametrize("hub", ["real"], indirect=True)
async def test_commands_end_whenever_the_agent_is_killed(hub: HubUnderTest, agent: AgentProcess) -> None:
    randomness = random.Random(7)
    names: list[str] = []
    for _ in range(2):
        names += [await hub.tell(Command.RUN_DOCTOR), await hub.tell(Command.FORGET_ANSWERS)]
        await asyncio.sleep(randomness.uniform(0, 0.2))
        await agent.kill()
        await agent.start()
        await eventually(agent.has_session, 60)

    async def have_all_ended() -> bool:
        return all([await is_in(hub, name, *ENDED) for name in names])

    await eventually(have_all_ended, 60)


@pytest.mark.parametrize("hub", ["real"], indirect=True)
async def test_a_narrowed_agent_shows_it_answers_shorter_and_fetches_logs_without_the_prompt_which_it_sketches(
    hub: HubUnderTest, agent: AgentProcess, tmp_path: Path
) -> None:
    wanted = await hub.want(Configuration(max_output_tokens=3, escalation_disabled=True, log_level="debug"))

    async def is_applied() -> bool:
        return (await agent.health()).get("generation") == wanted

    await eventually(is_applied)
    async with httpx2.AsyncClient(timeout=60) as client:
        body = {"messages": [{"role": "user", "content": "Tell me of the swordfish."}]}
        answer = (await client.post(f"{agent.url}/v1/chat/completions", json=body)).json()
        for _ in range(MOST_WAITING - 1):  # of the cache, until so many wait that they are sketched
            await client.post(f"{agent.url}/v1/chat/completions", json=body)
        metrics = (await client.get(f"{agent.url}/metrics")).text
    assert answer["usage"]["completion_tokens"] <= 3
    assert answer["seawall"]["route"] == "local"
    assert "seawall_agent_session_open 1.0" in metrics
    with closing(Database(tmp_path / "state" / "agent.db")) as database:
        await eventually(lambda: database.run_now(lambda tables: tables.table("sketches").count) == MOST_WAITING)
    name = await hub.tell(Command.FETCH_LOGS)
    await eventually(lambda: is_in(hub, name, Command.SUCCEEDED))
    lines = [json.loads(line) for line in (await hub.command(name)).output.splitlines()]
    assert "ready" in [line["event"] for line in lines]
    assert "swordfish" not in str(lines)


async def test_a_receipt_that_policy_lets_leave_the_site_reaches_the_hubs_log_without_the_prompt(real: RunningHub, tmp_path: Path) -> None:
    IdentityFolder(tmp_path / "state" / "identity").write(await enrolled(real))
    policy = tmp_path / "site.cedar"
    policy.write_text('@id("recorded") permit (principal, action == Action::"record", resource);')
    process = AgentProcess(tmp_path, BUNDLE, SEAWALL_AGENT_PRIVACY__POLICY_FILE=str(policy))
    async with running(process) as agent, httpx2.AsyncClient(timeout=60) as client, real.channel(real.operator) as channel:
        body = {"messages": [{"role": "user", "content": "Tell me of the swordfish."}], "max_tokens": 2}
        receipt = (await client.post(f"{agent.url}/v1/chat/completions", json=body)).json()["seawall"]
        stub: Any = audit_pb2_grpc.AuditServiceStub(channel)
        found: list[audit_pb2.AuditEntry] = []

        async def is_there() -> bool:
            found[:] = (await stub.ListAuditEntries(audit_pb2.ListAuditEntriesRequest())).audit_entries
            return bool(found)

        await eventually(is_there, 60)
        assert (await agent.health())["record_trouble"] == "none"
    assert [(entry.request_id, entry.outcome) for entry in found] == [(receipt["receipt_id"], "ON_SITE")]
    assert "recorded" in found[0].policy_ids
    assert "swordfish" not in found[0].leaf


async def test_an_agent_that_takes_part_in_rounds_has_told_the_hub_its_member_key(real: RunningHub, tmp_path: Path) -> None:
    folder = IdentityFolder(tmp_path / "state" / "identity")
    folder.write(await enrolled(real))
    process = AgentProcess(tmp_path, BUNDLE, SEAWALL_AGENT_LEARNING__ENABLED="true")
    async with running(process) as agent, real.channel(real.operator) as channel:
        await eventually(agent.has_session, 60)
        found = await Operator(channel).agent(AGENT)
    assert found.member_key_hash == key_hash(public_der(folder.member_key()))
    assert found.member_key_hash != found.key_hash
    assert not found.report.HasField("member_key")
