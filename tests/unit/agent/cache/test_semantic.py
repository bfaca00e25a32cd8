"""An answer is given again to a question that means the same: of the same scope, while it is kept, where the guard agrees."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.cache.exact import CachedAnswer, ExactCache
from agent.cache.guard import Refusal
from agent.cache.semantic import MOST_COMPARED_TOKENS, Asking, SemanticCache
from agent.cache.similarity import LEAST_SIMILARITY, SimilaritySettings
from agent.embedding.embedder import Embedder
from agent.prompts import Message, Prompt, Sampling
from agent.store.answers import AnswerStore
from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.subjects import Subject
from contract.calibration.maps import SIMILARITY, Calibrations, Fitted, Map
from contract.classification import DataClass

ANSWER = CachedAnswer("In the settings.", "stop", 12, 4, "models/m/versions/1", "sha256:model", 0.75)
GIVEN = replace(ANSWER, confidence=None)
KEPT, SAME, OTHER = "How do I enable 2FA?", "How can I turn on 2FA?", "How do I disable 2FA?"
HOUR = 3600.0


def asking(text: str, **changes: object) -> Asking:
    asked = Asking((Message("system", "Be brief."), Message("user", text)), Sampling(), "sha256:model", DataClass.PUBLIC, "till")
    return replace(asked, **changes)  # type: ignore[arg-type] # the fields are varied by name


class Rested:
    """Pauses that are over when the test wants it."""

    def __init__(self) -> None:
        self._begun, self._over = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def __call__(self, _: float) -> None:
        self._begun.release()
        await self._over.acquire()

    async def begins(self) -> None:
        """Returns when a pause has begun."""
        await self._begun.acquire()

    def ends(self) -> None:
        """Ends it."""
        self._over.release()


class Site:
    """A cache on a store, which can be opened anew."""

    def __init__(self, database: Database, embedder: Embedder, policies: list[str], **parts: Any) -> None:
        self.database = database
        self.refusals: list[Refusal] = []
        self._store = AnswerStore(database, 100, HOUR)
        self._exact = ExactCache(self._store, b"k" * 32, (), lambda: policies[-1])
        self.similar = SemanticCache(self._exact, self._store, embedder, lambda: 0.8, **{"refused": self.refusals.append, **parts})

    async def keep(self, asked: Asking, now: float = 1.0) -> None:
        prompt = Prompt("p", asked.client, tuple(asked.messages[-1:]), datetime.fromtimestamp(now, UTC), sampling=asked.sampling)
        question = await self.similar.question(asked)
        digest = await self._exact.keep(prompt, asked.messages, ANSWER, now, asked.model_digest, question)
        if digest is not None and question is not None:
            await self.similar.add(digest, question)

    async def recalls(self, asked: Asking, now: float = 2.0) -> bool:
        found = await self.similar.recall(asked, now)
        assert found is None or found.answer == GIVEN
        return found is not None


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
def policies() -> list[str]:
    return ["sha256:1"]


@pytest.fixture
def site(database: Database, embedder: Embedder, policies: list[str]) -> Iterator[Site]:
    site = Site(database, embedder, policies)
    yield site
    site.similar.close()


@pytest.fixture
async def filled(site: Site) -> Site:
    await site.keep(asking(KEPT))
    return site


async def test_a_question_that_means_the_same_has_the_same_answer(filled: Site) -> None:
    found = await filled.similar.recall(asking(SAME), 2.0)
    assert found is not None
    assert found.answer == GIVEN
    assert found.similarity is not None
    assert 0.8 <= found.similarity <= 1.0


async def test_what_the_guard_refuses_is_not_given_however_similar_and_the_rule_is_told(filled: Site) -> None:
    assert not await filled.recalls(asking(OTHER))
    assert filled.refusals == [Refusal.OPPOSITE]


async def test_the_next_nearest_is_given_where_the_guard_refuses_the_nearest(site: Site) -> None:
    await site.keep(asking(OTHER))
    await site.keep(asking(SAME))
    assert await site.recalls(asking(KEPT))


@pytest.mark.parametrize(
    "change",
    [
        {"model_digest": "sha256:other"},
        {"sampling": Sampling(max_tokens=9)},
        {"sampling": Sampling(temperature=0.7, seed=1)},
        {"messages": (Message("user", SAME),)},
        {"messages": (Message("system", "Be long."), Message("user", SAME))},
        {"messages": (Message("system", "Be brief."), Message("assistant", SAME))},
        {"data_class": DataClass.INTERNAL},
    ],
)
async def test_another_scope_has_no_answer(filled: Site, change: dict[str, object]) -> None:
    assert not await filled.recalls(asking(SAME, **change))


async def test_what_was_answered_under_another_policy_is_not_given(filled: Site, policies: list[str]) -> None:
    policies.append("sha256:2")
    assert not await filled.recalls(asking(SAME))


@pytest.mark.parametrize("data_class", DataClass)
async def test_a_public_answer_is_given_to_every_client_and_one_above_it_to_its_own_alone(site: Site, data_class: DataClass) -> None:
    await site.keep(asking(KEPT, data_class=data_class))
    assert await site.recalls(asking(SAME, data_class=data_class))
    assert await site.recalls(asking(SAME, data_class=data_class, client="door")) is (data_class is DataClass.PUBLIC)


async def test_a_long_question_is_neither_kept_nor_asked_for(site: Site) -> None:
    assert await site.similar.question(asking("why " * (MOST_COMPARED_TOKENS - 2))) is not None
    assert await site.similar.question(asking("why " * (MOST_COMPARED_TOKENS - 1))) is None
    assert await site.similar.question(asking("why " * 100_000)) is None


async def test_an_answer_that_is_too_old_is_not_given(filled: Site) -> None:
    assert await filled.recalls(asking(SAME), 1.0 + HOUR)
    assert not await filled.recalls(asking(SAME), 2.0 + HOUR)


async def test_a_client_that_is_forgotten_while_it_runs_takes_its_questions_with_it(filled: Site) -> None:
    await filled.keep(asking("Why is the sky blue?", client="door"))
    await forget(filled.database, Subject("till"), 3.0)
    assert not await filled.recalls(asking(SAME), 4.0)
    assert len(filled.similar) == 1
    await forget(filled.database, Subject("door"), 5.0)
    assert len(filled.similar) == 1, "nobody has asked since"
    await filled.similar.sweep()
    assert len(filled.similar) == 0


async def test_what_is_kept_is_found_after_a_restart(filled: Site, embedder: Embedder, policies: list[str]) -> None:
    again = Site(filled.database, embedder, policies)
    assert not await again.recalls(asking(SAME)), "nothing is read yet"
    await again.similar.load()
    assert await again.recalls(asking(SAME))
    again.similar.close()


async def test_an_answer_that_was_kept_anew_without_its_question_is_not_found_by_it(filled: Site) -> None:
    await filled.database.run(lambda tables: tables.execute("UPDATE answers SET scope = NULL, question = NULL, vector = NULL"))
    assert not await filled.recalls(asking(SAME))
    assert len(filled.similar) == 0


async def test_neither_question_nor_vector_lies_in_the_file(filled: Site, embedder: Embedder) -> None:
    content = b"".join(path.read_bytes() for path in filled.database.path.parent.glob("agent.db*"))
    vector = embedder.embed(KEPT)
    assert b"2FA" not in content
    assert vector.astype("<f2").tobytes()[:16] not in content
    assert vector.tobytes()[:16] not in content


async def test_an_embedder_that_breaks_costs_nobody_an_answer(database: Database) -> None:
    class Broken(Embedder):
        def tokens(self, text: str) -> int:
            raise RuntimeError(text)

    site = Site(database, Broken(), ["sha256:1"])
    await site.keep(asking(KEPT))
    assert not await site.recalls(asking(SAME))
    site.similar.close()


async def test_a_guard_that_breaks_costs_nobody_an_answer(database: Database, embedder: Embedder, policies: list[str]) -> None:
    def broken(_: Refusal) -> None:
        raise RuntimeError(KEPT)

    site = Site(database, embedder, policies, refused=broken)
    await site.keep(asking(KEPT))
    assert not await site.recalls(asking(OTHER))
    assert await site.recalls(asking(SAME))
    site.similar.close()


async def test_a_store_that_cannot_be_read_has_no_similar_answer_and_ends_nothing(
    filled: Site, embedder: Embedder, policies: list[str]
) -> None:
    await filled.database.run(lambda tables: tables.execute("ALTER TABLE answers RENAME TO gone"))
    assert not await filled.recalls(asking(SAME))
    rested = Rested()
    again = Site(filled.database, embedder, policies, pause=rested)
    running = asyncio.create_task(again.similar.run())
    await rested.begins()
    await filled.database.run(lambda tables: tables.execute("ALTER TABLE gone RENAME TO answers"))
    rested.ends()
    await rested.begins()
    assert await again.recalls(asking(SAME)), "what could not be read at first is read later"
    await filled.database.run(lambda tables: tables.execute("ALTER TABLE answers RENAME TO gone"))
    rested.ends()
    await rested.begins()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    again.similar.close()


def test_the_bar_is_the_calibrated_one_where_both_site_and_policy_want_it_and_never_below_the_least() -> None:
    fitted = Calibrations((Fitted(SIMILARITY, "sha256:e", Map(1.0, 0.5), 300),))
    assert SimilaritySettings(0.9).bar_for("sha256:e", fitted) == 0.9
    assert SimilaritySettings(0.9, 0.95).bar_for("sha256:other", fitted) == 0.9
    assert SimilaritySettings(0.9, 0.95).bar_for("sha256:e", fitted) == pytest.approx(Map(1.0, 0.5).least_figure(0.95))
    assert SimilaritySettings(0.9, 0.1).bar_for("sha256:e", fitted) == LEAST_SIMILARITY
