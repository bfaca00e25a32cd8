"""An operator with a hub, a ceremony and the devices of a fleet, who does by the commands what is to be done for sums."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from typer.testing import CliRunner

from agent.config import AgentSettings, LearningSettings
from agent.hub_link import HubLink
from agent.identity.authorities import ToldAuthorities
from agent.identity.enrollment import enroll
from agent.identity.files import Identity
from agent.identity.rotation import Rotation
from agent.learning.ledger import LedgerStore
from agent.learning.opening import open_participation
from agent.learning.participation import Participation
from agent.policies.in_force import PolicyInForce, choose
from agent.policies.opening import kept_policy
from agent.state import StateFolder
from agent.store.audit import ReceiptStore
from agent.store.database import Database
from agent.store.live import LiveStore
from agent.store.sketches import SketchStore
from agent.store.subjects import Subject as Asker
from contract.learning import windows_over
from contract.subjects import Subject
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
SKETCH = (1, 0, 1, 1)
"""Of what each device was asked."""
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
    ledgers: dict[str, LedgerStore] = field(default_factory=dict)
    links: dict[str, HubLink] = field(default_factory=dict)

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
        """Enrols a device, which then answers rounds: of one answer, which was called good."""
        identity = await self.enrolled(agent_id, self.folder / agent_id)
        state = self.devices[agent_id]
        settings = AgentSettings(state_folder=state.path, learning=LearningSettings(enabled=True, smallest_cohort=4, exact_cohort=4))
        database, link = Database(state.database), HubLink(identity)
        self.links[agent_id] = link
        self.stack.callback(database.close)
        self.stack.push_async_callback(link.close)
        policy = PolicyInForce(lambda: choose(settings, kept_policy(state)))
        participation = open_participation(settings, state, database, link, policy, Surroundings, lambda: MODEL, utc_now)
        await self.stack.enter_async_context(self.carry(identity, state, participation))
        await ReceiptStore(database, age_seconds=1e9).append("c", replace(receipt("p"), receipt_id=agent_id), IN_WINDOW, may_learn=True)
        await LiveStore(database, 1e9).give_feedback("c", "p", True, IN_WINDOW)
        self.ledgers[agent_id] = LedgerStore(database)
        await SketchStore(database).put(agent_id, SKETCH, Asker("c"), IN_WINDOW, IN_WINDOW)

    async def renew(self, agent_id: str) -> Identity:
        """Has a device take its next certificate, with another key, and returns what it is known by then."""
        folder = self.devices[agent_id].identity
        before = folder.read()
        await Rotation(self.links[agent_id], folder, utc_now, Random(1), ToldAuthorities()).replace_once()
        after = folder.read()
        assert after.certificate.public_key() != before.certificate.public_key()
        return after

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

    def contributed(self, subject: Subject) -> list[int]:
        """What all devices have kept of what they gave, added up."""
        given = [
            one.counts or {} for ledger in self.ledgers.values() for one in ledger.contributions() if one.window == subject.window(WINDOW)
        ]
        return [sum(counts.get(cell, 0) for counts in given) for cell in subject.named([0] * subject.entries)]

    async def round(self, name: str) -> Any:
        return next(one for one in await self.read("learning", "rounds") if one["name"] == name)

    async def ended(self, name: str) -> Any:
        async def has_ended() -> bool:
            return bool((await self.round(name))["state"] in ("SUCCEEDED", "FAILED"))

        await eventually(has_ended, ROUND_SECONDS)
        return await self.round(name)
