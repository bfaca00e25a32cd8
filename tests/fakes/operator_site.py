"""An operator with a hub, a ceremony and the devices of a fleet, who does by the commands what is to be done for sums."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from agent.config import AgentSettings, LearningSettings
from agent.hub_link import HubLink
from agent.identity.enrollment import enroll
from agent.identity.files import Identity
from agent.learning.opening import open_participation
from agent.learning.participation import Participation
from agent.policies.in_force import PolicyInForce, choose
from agent.policies.opening import kept_policy
from agent.state import StateFolder
from agent.store.audit import ReceiptStore
from agent.store.database import Database
from contract.learning import windows_over
from contract.surroundings import Surroundings
from hub.__main__ import app
from hub.clock import utc_now
from tests.fakes.answerer import receipt
from tests.fakes.fleet_agent import eventually
from tests.fakes.hub import RunningHub
from tests.fakes.models_command import Arguments, done, keys

WINDOW = windows_over(utc_now())[0]
IN_WINDOW = (utc_now() - timedelta(days=7)).timestamp()
MODEL = receipt("p").model_digest
ROUND_SECONDS = 100
"""Far more than a round takes, on a machine that does much else."""


@dataclass
class Site:
    """A hub with a published roster, and the agents in it."""

    hub: RunningHub
    ceremony: Path
    folder: Path
    stack: AsyncExitStack
    carry: Callable[[Identity, StateFolder, Participation], AbstractAsyncContextManager[object]] = lambda *_: nullcontext()
    """Has a device answer rounds until the block ends; by default each does so by itself."""
    devices: dict[str, StateFolder] = field(default_factory=dict)

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

    async def enrolled(self, agent_id: str, folder: Path) -> Identity:
        """Enrols a device whose state is in a folder."""
        token = (await self.run("join-token")).strip()
        identity = await asyncio.to_thread(enroll, token, self.hub.enrollment_target, self.hub.mtls_target, agent_id)
        self.devices[agent_id] = StateFolder(folder)
        self.devices[agent_id].identity.write(identity)
        return identity

    async def add_device(self, agent_id: str) -> None:
        """Enrols a device, which then answers rounds."""
        identity = await self.enrolled(agent_id, self.folder / agent_id)
        state = self.devices[agent_id]
        settings = AgentSettings(state_folder=state.path, learning=LearningSettings(enabled=True, smallest_cohort=4, exact_cohort=4))
        database, link = Database(state.database), HubLink(identity)
        self.stack.callback(database.close)
        self.stack.push_async_callback(link.close)
        policy = PolicyInForce(lambda: choose(settings, kept_policy(state)))
        participation = open_participation(settings, state, database, link, policy, Surroundings, lambda: MODEL, utc_now)
        await self.stack.enter_async_context(self.carry(identity, state, participation))
        await ReceiptStore(database, age_seconds=1e9).append("c", replace(receipt("p"), receipt_id=agent_id), IN_WINDOW, may_learn=True)

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

        await eventually(has_ended, ROUND_SECONDS)
        return await self.round(name)
