"""Step 3: an answer to a question that means the same, where the site wants it, policy allows it and the guard agrees."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from agent.cache.exact import ExactCache
from agent.cache.semantic import SemanticCache
from agent.embedding.embedder import Embedder
from agent.store.answers import AnswerStore
from agent.store.database import Database
from agent.telemetry import Metrics
from contract.policy import Policy
from tests.fakes.engine import FakeEngine
from tests.fakes.pipelines import SURE, Build, ask, prompt

KEPT, SAME, OTHER = "How do I enable 2FA?", "How can I turn on 2FA?", "How do I disable 2FA?"


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def similar(database: Database, embedder: Embedder, registry: CollectorRegistry) -> Iterator[dict[str, object]]:
    """The parts of a pipeline that compares questions."""
    store, metrics = AnswerStore(database, 100, 3600), Metrics(registry)
    cache = ExactCache(store, b"k" * 32, ())
    cache_of_meanings = SemanticCache(cache, store, embedder, lambda: 0.8, metrics.similar_refused)
    yield {"cache": cache, "similar": cache_of_meanings, "metrics": metrics}
    cache_of_meanings.close()


async def test_a_question_that_means_the_same_is_answered_from_the_cache_and_its_receipt_says_how(
    build: Build, similar: dict[str, object], registry: CollectorRegistry
) -> None:
    engine = FakeEngine(["in", " settings"], SURE)
    pipeline = build(engine, **similar)
    first = await ask(pipeline, prompt(KEPT))
    again = await ask(pipeline, prompt(SAME, prompt_id="p2", client="c2"))
    assert (again.text, again.receipt.route, len(engine.asked)) == (first.text, "cache", 1)
    assert "similar" in again.receipt.reasons
    assert "cached" not in again.receipt.reasons
    assert registry.get_sample_value("seawall_agent_recalls_total", {"found": "similar"}) == 1
    assert registry.get_sample_value("seawall_agent_recalls_total", {"found": "cached"}) == 0


async def test_the_same_question_comes_before_one_that_means_the_same(
    build: Build, similar: dict[str, object], registry: CollectorRegistry
) -> None:
    pipeline = build(FakeEngine(["a"], SURE), **similar)
    for number in range(2):
        answer = await ask(pipeline, prompt(KEPT, prompt_id=f"p{number}"))
    assert "cached" in answer.receipt.reasons
    assert registry.get_sample_value("seawall_agent_recalls_total", {"found": "cached"}) == 1


async def test_the_opposite_question_is_answered_by_the_model_and_counted(
    build: Build, similar: dict[str, object], registry: CollectorRegistry
) -> None:
    engine = FakeEngine(["a"], SURE)
    pipeline = build(engine, **similar)
    await ask(pipeline, prompt(KEPT))
    answer = await ask(pipeline, prompt(OTHER, prompt_id="p2"))
    assert (answer.receipt.route, len(engine.asked)) == ("local", 2)
    assert registry.get_sample_value("seawall_agent_similar_refusals_total", {"rule": "opposite"}) == 1


async def test_without_it_only_the_same_question_is_answered_from_the_cache(build: Build) -> None:
    engine = FakeEngine(["a"], SURE)
    pipeline = build(engine)
    await ask(pipeline, prompt(KEPT))
    assert (await ask(pipeline, prompt(SAME, prompt_id="p2"))).receipt.route == "local"


async def test_what_policy_does_not_let_be_cached_is_neither_kept_nor_recalled(build: Build, similar: dict[str, object]) -> None:
    keeps = build(FakeEngine(["a"], SURE), **similar)
    denies = build(
        FakeEngine(["b"], SURE), policy=Policy('@id("no-cache") forbid (principal, action == Action::"cache", resource);'), **similar
    )
    await ask(denies, prompt(KEPT))
    assert (await ask(keeps, prompt(SAME, prompt_id="p2"))).receipt.route == "local"
    assert (await ask(denies, prompt(KEPT, prompt_id="p3"))).receipt.route == "local"
    assert (await ask(keeps, prompt(KEPT, prompt_id="p4"))).receipt.route == "cache"


async def test_personal_data_is_never_shared_between_clients(build: Build, similar: dict[str, object]) -> None:
    pipeline = build(FakeEngine(["a"], SURE), **similar)
    mail, again = "How do I write to ada@example.org?", "How can I write to ada@example.org?"
    await ask(pipeline, prompt(mail))
    assert (await ask(pipeline, prompt(again, prompt_id="p2", client="c2"))).receipt.route != "cache"
    assert (await ask(pipeline, prompt(again, prompt_id="p3"))).receipt.route == "cache"


async def test_an_answer_from_the_cache_is_not_kept_again_under_the_other_words(build: Build, similar: dict[str, object]) -> None:
    cache = similar["similar"]
    assert isinstance(cache, SemanticCache)
    pipeline = build(FakeEngine(["a"], SURE), **similar)
    await ask(pipeline, prompt(KEPT))
    await ask(pipeline, prompt(SAME, prompt_id="p2"))
    assert len(cache) == 1
