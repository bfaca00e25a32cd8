"""What rollouts want, kept."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.store.database import Database
from agent.store.live import LiveCounts
from agent.store.rollouts import MOST_KEPT, Before, ProbationRecord, RolloutStore
from contract.errors import Reason, Unavailable
from seawall.hub.v1.rollout_pb2 import DesiredRelease, ReleaseReport

VERSION = "models/tiny/versions/2"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(tmp_path / "agent.db")
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> RolloutStore:
    return RolloutStore(database)


def wanted(rollout: str, action: DesiredRelease.Action.ValueType = DesiredRelease.TAKE) -> DesiredRelease:
    return DesiredRelease(rollout=f"rollouts/{rollout}", model_version=VERSION, action=action)


async def test_a_new_rollout_waits(store: RolloutStore) -> None:
    assert await store.newest() is None
    entry = await store.want(wanted("r1"))
    assert entry.report == ReleaseReport(rollout="rollouts/r1", model_version=VERSION, state=ReleaseReport.WAITING)
    assert await store.newest() == await store.get("rollouts/r1") == entry


async def test_everything_that_is_put_is_got(store: RolloutStore) -> None:
    entry = await store.want(wanted("r1"))
    report = ReleaseReport(rollout="rollouts/r1", model_version=VERSION, state=ReleaseReport.ON_PROBATION, figures={"perplexity": 3.0})
    probation = ProbationRecord("sha256:new", 12.5, 2, LiveCounts(1, 2, 3, 4, 5), LiveCounts(answers=9))
    put = replace(entry, report=report, before=Before("tiny", "1", "0" * 64, "sha256:old", 1), probation=probation)
    await store.put(put)
    assert await store.get("rollouts/r1") == put


async def test_what_is_wanted_last_is_the_newest_and_how_far_the_agent_was_stays(store: RolloutStore) -> None:
    first = await store.want(wanted("r1"))
    await store.put(replace(first, report=ReleaseReport(rollout="rollouts/r1", state=ReleaseReport.PROVEN)))
    await store.want(wanted("r2"))
    again = await store.want(wanted("r1", DesiredRelease.GIVE_BACK))
    assert (again.wanted.action, again.report.state) == (DesiredRelease.GIVE_BACK, ReleaseReport.PROVEN)
    assert await store.newest() == again


async def test_an_entry_that_is_put_late_does_not_undo_what_is_wanted_since(store: RolloutStore) -> None:
    entry = await store.want(wanted("r1"))
    await store.want(wanted("r1", DesiredRelease.GIVE_BACK))
    await store.put(entry)
    newest = await store.newest()
    assert newest is not None
    assert newest.wanted.action == DesiredRelease.GIVE_BACK


async def test_the_oldest_rollouts_are_forgotten(store: RolloutStore) -> None:
    for number in range(MOST_KEPT + 2):
        await store.want(wanted(f"r{number}"))
    assert await store.get("rollouts/r0") is None
    assert await store.get("rollouts/r1") is None
    assert await store.get("rollouts/r2") is not None


@pytest.mark.parametrize("damage", ["report = x'ff'", "wanted = x'ff'", "before = '{'", "before = '{\"a\": 1}'", "probation = '{}'"])
async def test_what_cannot_be_read_is_said(database: Database, store: RolloutStore, damage: str) -> None:
    await store.want(wanted("r1"))
    await database.run(lambda tables: tables.execute(f"UPDATE rollouts SET {damage}"))
    with pytest.raises(Unavailable) as refused:
        await store.newest()
    assert refused.value.reason is Reason.STORE_UNAVAILABLE


async def test_a_full_disk_is_said(database: Database, store: RolloutStore) -> None:
    await database.run(lambda tables: tables.execute("PRAGMA query_only = ON"))
    with pytest.raises(Unavailable) as refused:
        await store.want(wanted("r1"))
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
