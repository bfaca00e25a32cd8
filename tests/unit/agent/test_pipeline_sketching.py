"""Which prompts are sketched: those whose answers may be counted, whichever way the answer came."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from functools import cache as once
from random import Random

import pytest

from agent.cache.exact import ExactCache
from agent.cache.semantic import SemanticCache
from agent.embedding.opening import open_embedder
from agent.learning.reporting import Reporting
from agent.learning.sketching import Sketching
from agent.store.answers import AnswerStore
from agent.store.database import Database
from agent.store.live import LiveStore
from agent.store.sketches import SketchStore
from contract.calibration.maps import SAME, SIMILARITY
from contract.calibration.sums import tally
from contract.learning import window_of
from contract.subjects import EMBEDDER, Similarity
from tests.fakes.engine import FakeEngine
from tests.fakes.escalator import FakeEscalator
from tests.fakes.pipelines import CARD, NOW, SURE, UNSURE, Build, ask, prompt

QUESTION = "Why does the pump hum?"
opened = once(open_embedder)


@pytest.fixture
async def sketching(database: Database) -> AsyncIterator[Sketching]:
    made = Sketching(SketchStore(database), lambda: True, lambda: NOW, opened, gather_seconds=0)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()


async def sketched(database: Database) -> list[str]:
    """The receipts that have a sketch, in the order of their answers."""
    query = "SELECT receipt_id FROM receipts JOIN sketches USING (receipt_id) ORDER BY sequence"
    return await database.run(lambda tables: [name for (name,) in tables.execute(query).fetchall()])


async def test_answers_of_the_device_of_the_cache_and_of_the_cloud_are_sketched(
    build: Build, database: Database, sketching: Sketching
) -> None:
    sure = build(FakeEngine(["a"], SURE), sketching=sketching)
    unsure = build(FakeEngine(["a"], UNSURE), FakeEscalator(["cloud"]), sketching=sketching)
    given = [await ask(sure, prompt(QUESTION)), await ask(sure, prompt(QUESTION, prompt_id="p2"))]
    given.append(await ask(unsure, prompt("And the fan?", prompt_id="p3")))
    await sketching.settled()
    assert [answer.receipt.route for answer in given] == ["local", "cache", "escalated"]
    assert await sketched(database) == [answer.receipt.receipt_id for answer in given]


async def test_of_an_answer_to_a_similar_question_it_is_kept_how_similar_that_was_and_counted_once_it_is_judged(
    build: Build, database: Database, sketching: Sketching
) -> None:
    embedder = opened().embedder
    assert embedder is not None
    answers = AnswerStore(database, 100, 3600)
    cache = ExactCache(answers, b"k" * 32, ())
    with closing(SemanticCache(cache, answers, embedder, lambda: 0.8)) as similar:
        pipeline = build(FakeEngine(["a"], SURE), cache=cache, similar=similar, sketching=sketching)
        texts = "How do I enable 2FA?", "How can I turn on 2FA?"
        given = [await ask(pipeline, prompt(text, prompt_id=text)) for text in texts]
    await sketching.settled()
    names, store = [answer.receipt.receipt_id for answer in given], SketchStore(database)
    local, similarity = await database.run(lambda tables: [store.similarity(tables, name) for name in names])
    assert local is None
    assert similarity is not None
    assert similarity == pytest.approx(float(embedder.embed(texts[0]) @ embedder.embed(texts[1])), abs=1e-3)
    await LiveStore(database, 1e9).give_feedback("c1", texts[1], False, NOW.timestamp())
    counts = Reporting(database, lambda _: True, Random(1)).counts(Similarity(EMBEDDER), window_of(NOW))
    assert counts == tally(SIMILARITY, SAME, [(similarity, False)])


async def test_what_policy_lets_nobody_learn_from_is_not_sketched(build: Build, database: Database, sketching: Sketching) -> None:
    answer = await ask(build(FakeEngine(["a"], SURE), sketching=sketching), prompt(CARD))
    assert answer.receipt.data_class == "restricted"
    await sketching.settled()
    assert await sketched(database) == []


async def test_an_answer_waits_for_no_sketch(build: Build, database: Database) -> None:
    nobody_runs = Sketching(SketchStore(database), lambda: True, lambda: NOW, opened)
    answer = await ask(build(FakeEngine(["a"], SURE), sketching=nobody_runs), prompt(QUESTION))
    assert answer.text == "a"
    assert await sketched(database) == []


async def test_nothing_of_a_sketch_is_in_a_receipt(build: Build, sketching: Sketching) -> None:
    with_sketch = await ask(build(FakeEngine(["a"], SURE), sketching=sketching), prompt(QUESTION))
    without = await ask(build(FakeEngine(["a"], SURE)), prompt("What else?"))
    assert with_sketch.receipt.to_dict().keys() == without.receipt.to_dict().keys()
    assert "sketch" not in with_sketch.receipt.leaf("c1")
