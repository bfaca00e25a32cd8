"""Sketches: kept beside receipts that may be counted, and gone with them and with whoever asked."""

from dataclasses import replace
from struct import pack

import pytest
from sqlite_utils import Database as Tables

from agent.store.audit import ReceiptStore
from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.sketches import SketchStore
from agent.store.subjects import Subject
from contract.drift import VERSION, Sketch, to_bytes
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


async def similar(database: Database, name: str) -> float | None:
    return await database.run(lambda tables: SketchStore(database).similarity(tables, name))


async def test_how_similar_a_question_was_is_kept_beside_its_sketch_sealed_and_of_others_it_is_not_known(database: Database) -> None:
    for name, similarity in (("similar", 0.9375), ("another", None)):
        await give(database, name)
        await SketchStore(database).put(name, SKETCH, ANN, NOW, NOW, similarity)
    assert [await similar(database, name) for name in ("similar", "another", "unheard of")] == [0.9375, None, None]
    query = "SELECT similarity FROM sketches WHERE similarity IS NOT NULL"
    [(sealed,)] = await database.run(lambda tables: tables.execute(query).fetchall())
    assert pack("<d", 0.9375) not in sealed


async def test_a_similarity_that_was_put_in_the_place_of_another_is_not_read(database: Database) -> None:
    for name, similarity in (("one", 0.9), ("other", 0.8)):
        await give(database, name)
        await SketchStore(database).put(name, SKETCH, ANN, NOW, NOW, similarity)
    swap = "UPDATE sketches SET similarity = (SELECT similarity FROM sketches WHERE receipt_id = 'other') WHERE receipt_id = 'one'"
    await database.run(lambda tables: tables.execute(swap))
    assert [await similar(database, name) for name in ("one", "other")] == [None, 0.8]


async def test_the_similarity_of_another_versions_embedder_is_not_read(database: Database) -> None:
    def age(tables: Tables) -> None:
        key = database.keys.current(tables, ANN, NOW)
        sealed = key.sealer.seal(bytes((VERSION + 1, *SKETCH)), "sketches", "content", "r")
        tables.execute("UPDATE sketches SET content = ?", [sealed])

    await give(database, "r")
    await SketchStore(database).put("r", SKETCH, ANN, NOW, NOW, 0.9)
    await database.run(age)
    assert await similar(database, "r") is None


async def test_a_similarity_goes_with_whoever_asked(database: Database) -> None:
    await give(database, "r")
    await SketchStore(database).put("r", SKETCH, ANN, NOW, NOW, 0.9)
    await forget(database, ANN, NOW + 1)
    assert await similar(database, "r") is None
