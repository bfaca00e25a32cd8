"""Sketches: kept beside receipts that may be counted, and gone with them and with whoever asked."""

from dataclasses import replace

import pytest

from agent.store.audit import ReceiptStore
from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.sketches import SketchStore
from agent.store.subjects import Subject
from contract.drift import Sketch, to_bytes
from tests.fakes.answerer import receipt

NOW = 1_000_000.0
ANN = Subject("ann", "tea")
SKETCH = (0, 1, 1, 0)


async def give(database: Database, name: str, may_learn: bool = True, age_seconds: float = 1e9, now: float = NOW) -> None:
    await ReceiptStore(database, age_seconds).append("ann", replace(receipt(name), receipt_id=name), now, may_learn=may_learn)


async def kept(database: Database, name: str) -> Sketch | None:
    return await database.run(lambda tables: SketchStore(database).of(tables, name))


async def rows(database: Database) -> int:
    return await database.run(lambda tables: int(tables.table("sketches").count))


async def test_a_sketch_is_kept_beside_its_receipt_sealed(database: Database) -> None:
    await give(database, "r")
    await SketchStore(database).put("r", SKETCH, ANN, NOW, NOW)
    assert await kept(database, "r") == SKETCH
    [(content,)] = await database.run(lambda tables: tables.execute("SELECT content FROM sketches").fetchall())
    assert to_bytes(SKETCH) not in content


@pytest.mark.parametrize("name", ["forbidden", "unheard of"])
async def test_beside_what_may_not_be_counted_or_is_not_there_none_is_kept(database: Database, name: str) -> None:
    await give(database, "forbidden", may_learn=False)
    await SketchStore(database).put(name, SKETCH, ANN, NOW, NOW)
    assert await rows(database) == 0


async def test_a_sketch_goes_with_its_receipt(database: Database) -> None:
    await give(database, "old")
    await SketchStore(database).put("old", SKETCH, ANN, NOW, NOW)
    await give(database, "new", age_seconds=10, now=NOW + 20)
    assert await rows(database) == 0


async def test_a_sketch_goes_with_whoever_asked_and_his_receipt_stays(database: Database) -> None:
    await give(database, "r")
    await SketchStore(database).put("r", SKETCH, ANN, NOW, NOW)
    await forget(database, Subject("ann"), NOW + 1)
    assert await rows(database) == 0
    assert len(await ReceiptStore(database, 1e9).latest(10)) == 1


async def test_of_somebody_who_was_forgotten_since_he_asked_none_is_kept(database: Database) -> None:
    await give(database, "r")
    await forget(database, ANN, NOW + 1)
    await SketchStore(database).put("r", SKETCH, ANN, NOW, NOW + 2)
    assert await rows(database) == 0


async def test_a_sketch_that_does_not_open_is_none(database: Database) -> None:
    await give(database, "r")
    await SketchStore(database).put("r", SKETCH, ANN, NOW, NOW)
    await database.run(lambda tables: tables.execute("UPDATE sketches SET content = zeroblob(40)"))
    assert await kept(database, "r") is None
