"""A store with agents and rollouts, and no hub around it: a test says what agents report, and what time it is."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection

from hub.fleet.events import Journal
from hub.release.engine import Engine
from hub.release.reports import ReleaseReports
from hub.release.rollouts import Rollouts, Shown
from hub.store import agents, events, rollout_agents
from hub.store.agents import AgentRecord
from hub.store.database import Database
from hub.store.events import EventRecord
from hub.store.rollout_agents import RolloutAgentRecord
from seawall.hub.v1 import rollout_pb2

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
VERSION = "models/x/versions/2.0.0"
HERE = "a" * 32
"""The process of the hub that holds all sessions."""

ME = "spiffe://seawall.test/operators/me"


def rollout(*waves: rollout_pb2.Wave, version: str = VERSION, **fields: Any) -> rollout_pb2.Rollout:
    """What is wanted; without waves: one of all."""
    return rollout_pb2.Rollout(model_version=version, waves=waves or [rollout_pb2.Wave()], **fields)


def wave(expression: str = "", *, soak: timedelta = timedelta(0), **fields: Any) -> rollout_pb2.Wave:
    result = rollout_pb2.Wave(expression=expression, **fields)
    result.soak_time.FromTimedelta(soak)
    return result


class RolloutStore:
    """The parts that move rollouts.

    Args:
        database_url: of an empty database.
    """

    def __init__(self, database_url: str) -> None:
        self.now = NOON
        self.published = True
        self.database = Database.open(database_url)
        self.journal = Journal(self.database, self.clock)
        self.rollouts = Rollouts(self.database, self.journal, lambda *_: self.published, self.clock)
        self.reports = ReleaseReports(self.journal, HERE, self.clock)
        self.engine = Engine(self.database, self.journal, self.clock)

    def clock(self) -> datetime:
        return self.now

    async def enroll(self, *agent_ids: str, is_on: bool = True, **labels: str) -> None:
        def work(connection: Connection) -> None:
            for agent_id in agent_ids:
                replica = HERE if is_on else None
                agents.insert(connection, AgentRecord(agent_id, "0" * 64, b"", NOON, NOON, labels=labels, replica_id=replica))

        await self.database.write(work)

    async def create(self, wanted: rollout_pb2.Rollout, rollout_id: str = "june") -> Shown:
        return await self.rollouts.create(rollout_id, wanted, str(uuid.uuid4()), ME)

    async def report(self, agent_id: str, state: str, rollout_id: str = "june", **fields: Any) -> None:
        """As an agent does, with whatever follows from it."""
        number = rollout_pb2.ReleaseReport.State.Value(state)
        await self.reports.keep(agent_id, rollout_pb2.ReleaseReport(rollout=f"rollouts/{rollout_id}", state=number, **fields))
        await self.engine.move(None)

    async def come_back(self, agent_id: str, rollout_id: str = "june") -> None:
        """An agent's session begins."""

        def work(connection: Connection) -> None:
            agents.change(connection, agent_id, replica_id=HERE)
            rollout_agents.reach(connection, rollout_id, agent_id, self.now)

        await self.database.write(work)
        await self.engine.move(None)

    async def move(self, agent_id: str, replica_id: str) -> None:
        """Another process of the hub holds the agent's session now."""
        await self.database.write(lambda connection: agents.change(connection, agent_id, replica_id=replica_id))

    async def wait(self, time: timedelta) -> None:
        self.now += time
        await self.engine.move(None)

    async def state(self, rollout_id: str = "june") -> str:
        return (await self.rollouts.get(rollout_id)).record.state

    async def told(self, rollout_id: str = "june") -> dict[str, str]:
        """What each agent of a rollout was told."""
        return {record.agent_id: record.action for record in await self.rows(rollout_id)}

    async def rows(self, rollout_id: str = "june") -> Sequence[RolloutAgentRecord]:
        return (await self.rollouts.agents(rollout_id, "", 20_000, ()))[0]

    async def wish(self, agent_id: str) -> rollout_pb2.DesiredRelease:
        record = await self.database.read(partial(agents.get, agent_id=agent_id))
        assert record is not None
        return rollout_pb2.DesiredRelease.FromString(record.release)

    async def events(self) -> list[EventRecord]:
        return await self.database.read(lambda connection: events.after(connection, 0, 10_000))
