"""A bad word ends a kept answer, whichever way it was given, and another one is kept in its place."""

from collections.abc import Iterator

import pytest

from agent.cache.exact import ExactCache
from agent.cache.semantic import SemanticCache
from agent.embedding.embedder import Embedder
from agent.prompts import Answer
from agent.store.answers import AnswerStore
from agent.store.database import Database
from agent.store.live import LiveStore
from tests.fakes.engine import FakeEngine
from tests.fakes.escalator import FakeEscalator
from tests.fakes.pipelines import NOW, SURE, UNSURE, Build, ask, prompt

KEPT, SAME = "How do I enable 2FA?", "How can I turn on 2FA?"


@pytest.fixture
def similar(database: Database) -> Iterator[dict[str, object]]:
    """The parts of a pipeline that compares questions."""
    store = AnswerStore(database, 100, 3600)
    cache = ExactCache(store, b"k" * 32, ())
    cache_of_meanings = SemanticCache(cache, store, Embedder(), lambda: 0.8)
    yield {"cache": cache, "similar": cache_of_meanings}
    cache_of_meanings.close()


async def say(database: Database, answer: Answer, client: str, is_good: bool = False) -> None:
    await LiveStore(database, 1e9).give_feedback(client, answer.receipt.prompt_id, is_good, NOW.timestamp())


async def test_an_answer_from_the_cache_that_is_called_bad_is_given_to_nobody_again_and_a_new_one_is_kept(
    build: Build, database: Database
) -> None:
    engine = FakeEngine(["a"], SURE)
    pipeline = build(engine)
    await ask(pipeline, prompt(KEPT))
    recalled = await ask(pipeline, prompt(KEPT, prompt_id="p2", client="c2"))
    await say(database, recalled, "c2")
    routes = [(await ask(pipeline, prompt(KEPT, prompt_id=f"q{number}"))).receipt.route for number in range(2)]
    assert (recalled.receipt.route, routes, len(engine.asked)) == ("cache", ["local", "cache"], 2)


async def test_an_answer_to_a_similar_question_that_is_called_bad_is_given_again_to_neither(
    build: Build, database: Database, similar: dict[str, object]
) -> None:
    pipeline = build(FakeEngine(["a"], SURE), **similar)
    await ask(pipeline, prompt(KEPT))
    recalled = await ask(pipeline, prompt(SAME, prompt_id="p2", client="c2"))
    assert "similar" in recalled.receipt.reasons
    await say(database, recalled, "c2")
    assert (await ask(pipeline, prompt(SAME, prompt_id="p3"))).receipt.route == "local"
    assert (await ask(pipeline, prompt(KEPT, prompt_id="p4"))).receipt.reasons[-1] == "similar", "the one to the other words is kept now"


@pytest.mark.parametrize(("is_good", "then"), [(False, "escalated"), (True, "cache")])
async def test_an_answer_of_the_cloud_that_is_kept_ends_by_a_bad_word_of_who_got_it_first(
    build: Build, database: Database, is_good: bool, then: str
) -> None:
    pipeline = build(FakeEngine(["a"], UNSURE), FakeEscalator(["cloud"]))
    first = await ask(pipeline, prompt(KEPT))
    await say(database, first, "c1", is_good)
    assert (await ask(pipeline, prompt(KEPT, prompt_id="p2"))).receipt.route == then


async def test_a_bad_word_for_an_answer_that_is_not_kept_ends_none(build: Build, database: Database) -> None:
    pipeline = build(FakeEngine(["a"], UNSURE))
    provisional = await ask(pipeline, prompt("Another?"))
    await say(database, provisional, "c1")
    assert provisional.receipt.provisional
    await ask(build(FakeEngine(["b"], SURE)), prompt(KEPT, prompt_id="p2"))
    assert (await ask(pipeline, prompt(KEPT, prompt_id="p3"))).receipt.route == "cache"
