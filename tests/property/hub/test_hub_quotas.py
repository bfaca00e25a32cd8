"""Quotas: whatever hubs on one store do side by side, and wherever they die, no more is spent than is allowed."""

import asyncio
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.fleet.quotas import Quotas, QuotaSpent, Reservation
from hub.store import agents, groups
from hub.store.agents import AgentRecord
from hub.store.database import Database
from hub.store.groups import GroupRecord
from hub.store.quotas import Spent

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MEMBERS = {"all": "abc", "oslo": "ab", "line": "b"}
EXPRESSIONS = {"all": "", "oslo": "labels.site = oslo", "line": "labels.line = 4"}
LABELS = {"a": {"site": "oslo"}, "b": {"site": "oslo", "line": "4"}, "c": {}}


@dataclass(frozen=True)
class Limits:
    escalations: int | None
    tokens: int | None


@dataclass
class Truth:
    """What has really been let in, by group."""

    escalations: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MEMBERS, 0))
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MEMBERS, 0))

    def add(self, agent_id: str, escalations: int, tokens: int) -> None:
        for group_id, members in MEMBERS.items():
            if agent_id in members:
                self.escalations[group_id] += escalations
                self.tokens[group_id] += tokens


@dataclass(frozen=True)
class Escalate:
    """One escalation on one of the hubs: what it may take, what it takes, and how it ends; `crash`: the hub dies before it is settled."""

    hub: int
    agent_id: str
    most: int
    share: float
    end: str


LIMITS = st.builds(Limits, st.none() | st.integers(1, 4), st.none() | st.integers(1, 12))
ESCALATIONS = st.builds(
    Escalate,
    st.integers(0, 1),
    st.sampled_from("abc"),
    st.integers(0, 6),
    st.floats(0, 1),
    st.sampled_from(["settle", "release", "crash"]),
)


async def escalate(hubs: list[Quotas], one: Escalate, truth: Truth, randomness: random.Random) -> None:
    try:
        reservation: Reservation = await hubs[one.hub].reserve(one.agent_id, one.most)
    except QuotaSpent:
        return
    for _ in range(randomness.randrange(4)):
        await asyncio.sleep(0)
    took = int(one.most * one.share)
    if one.end == "release":
        await hubs[one.hub].release(reservation)
        return
    truth.add(one.agent_id, 1, took)
    if one.end == "settle":
        await hubs[one.hub].settle(reservation, took)


async def play(databases: list[Database], limits: dict[str, Limits], escalations: list[Escalate], seed: int) -> None:
    hubs = [Quotas(database, lambda: NOW) for database in databases]
    for group_id, limit in limits.items():
        record = GroupRecord(
            group_id, EXPRESSIONS[group_id], 0, b"", NOW, NOW, escalations_per_day=limit.escalations, tokens_per_day=limit.tokens
        )
        await databases[0].write(lambda connection, record=record: groups.insert(connection, record))  # type: ignore[misc]
    truth, randomness = Truth(), random.Random(seed)
    await asyncio.gather(*(escalate(hubs, one, truth, randomness) for one in escalations))
    spent, _ = await hubs[0].spent(limits)
    for group_id, limit in limits.items():
        counted = spent.get(group_id, Spent())
        if limit == Limits(None, None):
            assert counted == Spent()
            continue
        assert truth.escalations[group_id] <= counted.escalations <= (limit.escalations or 10**9)
        assert truth.tokens[group_id] <= counted.tokens <= (limit.tokens or 10**9)
        if all(one.end != "crash" for one in escalations):
            assert (counted.escalations, counted.tokens) == (truth.escalations[group_id], truth.tokens[group_id])


async def run(path: Path, limits: dict[str, Limits], escalations: list[Escalate], seed: int) -> None:
    databases = [Database.open(f"sqlite:///{path}") for _ in range(2)]
    try:
        for agent_id, labels in LABELS.items():
            record = AgentRecord(agent_id, "k", b"", NOW, NOW, labels=labels)
            await databases[0].write(lambda connection, record=record: agents.insert(connection, record))  # type: ignore[misc]
        await play(databases, limits, escalations, seed)
    finally:
        for database in databases:
            database.close()


@given(st.fixed_dictionaries(dict.fromkeys(MEMBERS, LIMITS)), st.lists(ESCALATIONS, max_size=14), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_no_more_is_spent_than_is_allowed(
    tmp_path_factory: pytest.TempPathFactory, limits: dict[str, Limits], escalations: list[Escalate], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("quotas")
    asyncio.run(run(folder / "hub.db", limits, escalations, seed))
