"""The desired state on the disk, and the file that says that there was one."""

from pathlib import Path

import pytest

from agent.desired import Desired
from agent.narrowing import OwnLimits
from agent.store.database import Database
from agent.store.desired import LOST, DesiredStore
from contract.errors import Unavailable
from seawall.hub.v1.group_pb2 import Configuration
from seawall.hub.v1.session_pb2 import DesiredState


async def delete_row(database: Database) -> None:
    await database.run(lambda tables: tables.execute("DELETE FROM desired_state"))


async def test_of_a_new_agent_nothing_is_wanted(database: Database) -> None:
    assert await DesiredStore(database).get() == (0, b"")


@pytest.mark.parametrize("generation", [0, 7])
async def test_what_was_there_and_is_gone_is_lost_and_not_new(database: Database, generation: int) -> None:
    store = DesiredStore(database)
    await store.put(generation, b"wanted")
    assert await store.get() == (generation, b"wanted")
    await delete_row(database)
    assert await store.get() == (LOST, b"")


async def test_a_store_of_a_version_that_left_no_mark_is_marked(database: Database, tmp_path: Path) -> None:
    store = DesiredStore(database)
    await store.put(7, Configuration(cache_disabled=True).SerializeToString())
    (tmp_path / "desired-state").unlink()
    desired = Desired(store, OwnLimits(), lambda _: None)
    await desired.load()
    assert (desired.narrowing.cache_disabled, desired.trouble) == (True, "")
    await delete_row(database)
    assert await store.get() == (LOST, b"")


async def test_what_cannot_be_marked_is_not_applied(database: Database, tmp_path: Path) -> None:
    (tmp_path / "desired-state.new").mkdir()
    desired = Desired(DesiredStore(database), OwnLimits(), lambda _: None)
    with pytest.raises(Unavailable):
        await desired.apply(DesiredState(generation=7, configuration=Configuration(cache_disabled=True)))
    assert (desired.generation, desired.narrowing.cache_disabled) == (0, False)
    assert await DesiredStore(database).get() == (0, b"")


async def test_a_mark_that_cannot_be_left_does_not_keep_an_agent_from_starting(database: Database, tmp_path: Path) -> None:
    store = DesiredStore(database)
    await store.put(7, b"")
    (tmp_path / "desired-state").unlink()
    (tmp_path / "desired-state.new").mkdir()
    desired = Desired(store, OwnLimits(), lambda _: None)
    await desired.load()
    assert desired.generation == 7
