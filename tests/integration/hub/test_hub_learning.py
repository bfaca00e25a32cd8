"""Sums over a fleet from the operator's commands on: a roster is proposed, signed and published; agents are asked; a report is read."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from typer.testing import CliRunner

from agent.config import AgentSettings, LearningSettings
from agent.hub_link import HubLink
from agent.identity.enrollment import enroll
from agent.learning.opening import open_participation
from agent.policies.in_force import PolicyInForce, choose
from agent.policies.opening import kept_policy
from agent.state import StateFolder
from agent.store.audit import ReceiptStore
from agent.store.database import Database
from contract.learning import windows_over
from contract.surroundings import Surroundings
from hub.__main__ import app
from hub.clock import utc_now
from hub.store import agents, replicas
from seawall.hub.v1 import agent_pb2
from tests.fakes.answerer import receipt
from tests.fakes.fleet_agent import eventually
from tests.fakes.grid import FakeGrid
from tests.fakes.hub import RunningHub, running_hub
from tests.fakes.models_command import Arguments, done, keys

SIZE = 8
MODEL = "models/tiny/versions/1.0.0"
WINDOW = windows_over(utc_now())[0]
IN_WINDOW = (utc_now() - timedelta(days=7)).timestamp()


@dataclass
class Site:
    """A hub with a published roster, and the agents in it."""

    hub: RunningHub
    ceremony: Path
    folder: Path
    stack: AsyncExitStack
    grid: FakeGrid
    devices: dict[str, StateFolder]

    async def run(self, *arguments: str) -> str:
        runner = CliRunner(env={"SEAWALL_HUB_LISTENERS__MTLS": self.hub.mtls_target, "COLUMNS": "200"})
        command = [*arguments, "--data", str(self.hub.folder.path)]
        result = await asyncio.to_thread(runner.invoke, app, command, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    async def read(self, *arguments: str) -> Any:
        return json.loads(await self.run(*arguments, "--output", "json"))

    async def trust(self) -> None:
        (self.folder / "hub.json").write_text(await self.run("trust", "request"))
        await asyncio.to_thread(done, "trust", "init", self.ceremony, "--online-keys", self.folder / "hub.json")
        await self.run("trust", "import", str(self.ceremony / "metadata"))
        await self.run("trust", "publisher", "build-server", str(self.folder / "publisher"))

    async def add_device(self, agent_id: str) -> None:
        """Enrols a device, which then answers rounds."""
        token = (await self.run("join-token")).strip()
        identity = await asyncio.to_thread(enroll, token, self.hub.enrollment_target, self.hub.mtls_target, agent_id)
        state = StateFolder(self.folder / agent_id)
        state.identity.write(identity)
        self.devices[agent_id] = state
        settings = AgentSettings(state_folder=state.path, learning=LearningSettings(enabled=True, smallest_cohort=4, exact_cohort=4))
        database, link = Database(state.database), HubLink(identity)
        self.stack.callback(database.close)
        self.stack.push_async_callback(link.close)
        policy = PolicyInForce(lambda: choose(settings, kept_policy(state)))
        participation = open_participation(settings, state, database, link, policy, Surroundings, utc_now)
        self.grid.devices[agent_id] = participation.answer
        await ReceiptStore(database, age_seconds=1e9).append("c", replace(receipt("p"), receipt_id=agent_id), IN_WINDOW, may_learn=True)

    async def heard_of(self) -> None:
        """Has the hub have heard of all agents just now, over sessions, and of what they serve."""
        report = agent_pb2.AgentReport(model=MODEL, model_digest="sha256:" + "a" * 64).SerializeToString()

        def work(connection: Connection) -> None:
            [replica_id] = replicas.beats(connection)
            for agent_id in self.devices:
                agents.change(connection, agent_id, report=report, last_seen_time=utc_now(), replica_id=replica_id)

        await self.hub.hub.database.write(work)

    async def sign_roster(self) -> str:
        """Takes what the hub proposes, and signs it where the key is."""
        file = self.folder / "proposed.json"
        file.write_text(await self.run("learning", "roster"))
        to: Arguments = (
            "--hub",
            self.hub.mtls_target,
            "--identity",
            self.folder / "publisher",
            "--root",
            self.ceremony / "metadata" / "1.root.json",
        )
        role: Arguments = ("--role", "rosters", "--name", "fleet", "--key", *keys(self.ceremony, "rosters"))
        return await asyncio.to_thread(done, "publish", file, *to, *role)

    async def round(self, name: str) -> Any:
        return next(one for one in await self.read("learning", "rounds") if one["name"] == name)

    async def ended(self, name: str) -> Any:
        async def has_ended() -> bool:
            return bool((await self.round(name))["state"] in ("SUCCEEDED", "FAILED"))

        await eventually(has_ended)
        return await self.round(name)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    grid = FakeGrid({})
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(running_hub(tmp_path / "hub", gather=grid.gather))
        made = Site(hub, tmp_path / "ceremony", tmp_path, stack, grid, {})
        await made.trust()
        for number in range(SIZE):
            await made.add_device(f"plant-{number}")
        await made.heard_of()
        yield made


async def test_a_fleet_is_asked_and_its_report_is_read(site: Site) -> None:
    assert "published rosters/fleet/versions/1.json" in await site.sign_roster()
    begun = await site.read("learning", "start", "--exact", "--by", "model")
    ended = await site.ended(begun["name"])
    assert (ended["state"], ended["window"], ended["rosterVersion"]) == ("SUCCEEDED", WINDOW, "1")
    [cohort] = ended["cohorts"]
    assert (cohort["contributors"], cohort["group"]) == (SIZE, {"model": MODEL})
    assert not site.grid.refused
    row = await site.run("learning", "rounds")
    assert begun["name"].removeprefix("rounds/") in row
    [group] = (await site.read("learning", "report", "--by", "model"))["groups"]
    assert (group["sums"]["route.local"], group["contributors"], group["group"]) == (str(SIZE), SIZE, {"model": MODEL})
    chart = await site.run("learning", "report", "--cells", "route")
    assert f"{SIZE} agents in 1 cohorts" in chart
    assert "route.local" in chart
    assert "class." not in chart


async def test_an_agent_that_is_not_in_the_signed_roster_is_not_asked(site: Site) -> None:
    await site.sign_roster()
    await site.add_device("newcomer")
    await site.heard_of()
    begun = await site.read("learning", "start")
    ended = await site.ended(begun["name"])
    assert sum(cohort["size"] for cohort in ended["cohorts"]) == SIZE
    assert "published rosters/fleet/versions/2.json" in await site.sign_roster()
