"""Prompts are sketched after their answer; whatever breaks, all else goes on."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import cache

import pytest
from structlog.testing import capture_logs

from agent.embedding.embedder import Embedder, Vector
from agent.embedding.opening import Opened, open_embedder
from agent.learning.sketching import MOST_WAITING, Sketching
from agent.prompts import Message
from agent.store.audit import ReceiptStore
from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.sketches import SketchStore
from agent.store.subjects import Subject
from contract.drift import EMBEDDER, Sketch, sketch
from tests.fakes.answerer import receipt
from tests.fakes.pipelines import NOW, prompt

TEXT = "Why does the pump hum?"
opened = cache(open_embedder)


class Breaking(Embedder):
    """An embedder that fails at one text."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = "broken"

    def embed(self, text: str) -> Vector:
        if text == self.broken:
            raise RuntimeError(text)
        return super().embed(text)


@asynccontextmanager
async def sketching(database: Database, load: Callable[[], Opened] = opened, is_on: bool = True) -> AsyncIterator[Sketching]:
    made = Sketching(SketchStore(database), lambda: is_on, lambda: NOW, load, gather_seconds=0)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def answered(database: Database, name: str) -> None:
    await ReceiptStore(database, 1e9).append("c1", replace(receipt(name), receipt_id=name), NOW.timestamp(), may_learn=True)


async def kept(database: Database, name: str) -> Sketch | None:
    return await database.run(lambda tables: SketchStore(database).of(tables, name))


async def test_a_sketch_is_of_the_last_words_of_whoever_asked(database: Database) -> None:
    embedder = opened().embedder
    assert embedder is not None
    await answered(database, "r")
    async with sketching(database) as made:
        talk = (Message("system", "Be brief."), Message("user", "Hello"), Message("user", TEXT), Message("assistant", "It"))
        made.hear(replace(prompt(TEXT), messages=talk), "r")
        await made.settled()
    assert await kept(database, "r") == sketch(embedder.embed(TEXT).tolist())


def test_sketches_are_of_the_embedder_that_their_schema_names() -> None:
    embedder = opened().embedder
    assert embedder is not None
    assert embedder.digest == EMBEDDER


@pytest.mark.parametrize("text", ["", " \n"])
async def test_of_nothing_there_is_no_sketch_and_nothing_is_loaded_for_it(database: Database, text: str) -> None:
    await answered(database, "r")
    async with sketching(database, load=unexpected) as made:
        made.hear(prompt(text), "r")
        await made.settled()
    assert await kept(database, "r") is None


async def test_a_device_that_takes_part_in_nothing_sketches_nothing_and_loads_nothing(database: Database) -> None:
    await answered(database, "r")
    async with sketching(database, load=unexpected, is_on=False) as made:
        made.hear(prompt(TEXT), "r")
        await made.settled()
    assert await kept(database, "r") is None


def unexpected() -> Opened:
    raise AssertionError


async def test_without_an_embedder_there_is_no_sketch_and_it_is_said_once(database: Database) -> None:
    await answered(database, "r")
    with capture_logs() as logs:
        async with sketching(database, load=lambda: Opened(None, "Install seawall-agent anew.")) as made:
            for _ in range(3):
                made.hear(prompt(TEXT), "r")
            await made.settled()
    assert await kept(database, "r") is None
    assert [line["advice"] for line in logs] == ["Install seawall-agent anew."]


async def test_a_prompt_that_breaks_the_embedder_is_left_out_and_the_next_is_sketched_and_its_words_are_in_no_log(
    database: Database,
) -> None:
    await answered(database, "first")
    await answered(database, "second")
    with capture_logs() as logs:
        async with sketching(database, load=lambda: Opened(Breaking())) as made:
            made.hear(prompt("broken"), "first")
            made.hear(prompt(TEXT), "second")
            await made.settled()
    assert await kept(database, "first") is None
    assert await kept(database, "second") is not None
    assert [(line["event"], line["error"]) for line in logs] == [("a prompt is not sketched", "RuntimeError")]


async def test_a_store_that_takes_nothing_ends_nothing(database: Database) -> None:
    await answered(database, "r")
    await database.run(lambda tables: tables.execute("PRAGMA query_only = ON"))
    with capture_logs() as logs:
        async with sketching(database) as made:
            made.hear(prompt(TEXT), "r")
            await made.settled()
    assert [line["event"] for line in logs] == ["a sketch is not kept"]


async def test_of_somebody_who_is_forgotten_while_his_prompt_waits_no_sketch_is_kept(database: Database) -> None:
    await answered(database, "r")
    made = Sketching(SketchStore(database), lambda: True, lambda: NOW, opened, gather_seconds=0)
    made.hear(prompt(TEXT), "r")
    await forget(database, Subject("c1"), NOW.timestamp())
    running = asyncio.create_task(made.run())
    await made.settled()
    running.cancel()
    assert await kept(database, "r") is None


async def test_more_prompts_than_may_wait_are_let_go_and_those_that_fill_it_are_sketched_at_once(database: Database) -> None:
    names = [f"r{number}" for number in range(MOST_WAITING + 5)]
    for name in names:
        await answered(database, name)
    made = Sketching(SketchStore(database), lambda: True, lambda: NOW, opened, gather_seconds=1e6)
    for name in names:
        made.hear(prompt(TEXT), name)
    running = asyncio.create_task(made.run())
    await made.settled()
    running.cancel()
    found = [await kept(database, name) for name in names]
    assert all(one is not None for one in found[:MOST_WAITING])
    assert found[MOST_WAITING:] == [None] * 5


async def test_the_embedder_is_there_for_prompts_that_were_gathered_and_gone_before_memory_is_given_back(database: Database) -> None:
    loaded, left = list[weakref.ref[Embedder]](), list[bool]()

    def load() -> Opened:
        embedder = Embedder()
        loaded.append(weakref.ref(embedder))
        return Opened(embedder)

    names = [f"r{number}" for number in range(2 * MOST_WAITING)]
    made = Sketching(SketchStore(database), lambda: True, lambda: NOW, load, 1e6, lambda: left.append(loaded[-1]() is not None))
    running = asyncio.create_task(made.run())
    for name in names:
        await answered(database, name)
    for part in (names[:MOST_WAITING], names[MOST_WAITING:]):
        for name in part:
            made.hear(prompt(TEXT), name)
        await made.settled()
    running.cancel()
    assert left == [False, False]
    assert all([await kept(database, name) for name in names])
