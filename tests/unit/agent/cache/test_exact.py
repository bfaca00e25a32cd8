"""The exact cache: the same question, and no other."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.cache.exact import CachedAnswer, ExactCache, repeatable
from agent.prompts import Message, Prompt, Sampling
from agent.store.answers import AnswerStore
from agent.store.database import Database

KEY, SCOPE = b"k" * 32, ("sha256:model", "sha256:policy")
QUESTION = (Message("system", "Be brief."), Message("user", "Which river is longest?"))
ANSWER = CachedAnswer("The Nile. \N{WAVING HAND SIGN}", "stop", 12, 4, "models/m/versions/1", "sha256:model", 0.75)
GREEDY = Sampling(max_tokens=20)


def asked(sampling: Sampling) -> Prompt:
    return Prompt("p1", "c1", QUESTION[1:], datetime.fromtimestamp(1.0, UTC), sampling=sampling)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnswerStore]:
    database = Database(tmp_path / "agent.db")
    yield AnswerStore(database, most_answers=10, age_seconds=100)
    database.close()


async def test_the_same_question_has_the_same_answer_whole(store: AnswerStore) -> None:
    await ExactCache(store, KEY, SCOPE).keep(asked(GREEDY), QUESTION, ANSWER, 1.0)
    assert await ExactCache(store, KEY, SCOPE).recall(QUESTION, GREEDY, 2.0) == ANSWER


async def test_a_later_answer_takes_the_place_of_the_earlier(store: AnswerStore) -> None:
    cache = ExactCache(store, KEY, SCOPE)
    await cache.keep(asked(GREEDY), QUESTION, ANSWER, 1.0)
    await cache.keep(asked(GREEDY), QUESTION, replace(ANSWER, text="The Amazon."), 2.0)
    assert await cache.recall(QUESTION, GREEDY, 3.0) == replace(ANSWER, text="The Amazon.")


@pytest.mark.parametrize(
    "question",
    [
        QUESTION[1:],
        QUESTION[::-1],
        (*QUESTION, Message("assistant", "")),
        (QUESTION[0], Message("assistant", QUESTION[1].content)),
        (QUESTION[0], Message("user", QUESTION[1].content + " ")),
        (Message("system", "Be brief.Which"), Message("user", " river is longest?")),
    ],
)
async def test_another_question_is_not_answered(store: AnswerStore, question: tuple[Message, ...]) -> None:
    cache = ExactCache(store, KEY, SCOPE)
    await cache.keep(asked(GREEDY), QUESTION, ANSWER, 1.0)
    assert await cache.recall(question, GREEDY, 1.0) is None


@pytest.mark.parametrize("change", [{"max_tokens": 21}, {"stop": ("\n",)}, {"repetition_penalty": 1.1}])
async def test_another_sampling_is_not_answered(store: AnswerStore, change: dict[str, object]) -> None:
    cache = ExactCache(store, KEY, SCOPE)
    await cache.keep(asked(GREEDY), QUESTION, ANSWER, 1.0)
    assert await cache.recall(QUESTION, replace(GREEDY, **change), 1.0) is None  # type: ignore[arg-type] # the fields are varied by name


@pytest.mark.parametrize(
    ("key", "scope"),
    [(KEY, ("sha256:other", "sha256:policy")), (KEY, ("sha256:model", "sha256:other")), (KEY, SCOPE[::-1]), (b"o" * 32, SCOPE)],
)
async def test_another_model_policy_or_device_is_not_answered(store: AnswerStore, key: bytes, scope: tuple[str, ...]) -> None:
    await ExactCache(store, KEY, SCOPE).keep(asked(GREEDY), QUESTION, ANSWER, 1.0)
    assert await ExactCache(store, key, scope).recall(QUESTION, GREEDY, 1.0) is None


async def test_the_seed_changes_nothing_where_nothing_is_random(store: AnswerStore) -> None:
    cache = ExactCache(store, KEY, SCOPE)
    await cache.keep(asked(replace(GREEDY, seed=1)), QUESTION, ANSWER, 1.0)
    assert await cache.recall(QUESTION, replace(GREEDY, seed=2), 1.0) == ANSWER


async def test_a_random_answer_is_neither_kept_nor_recalled(store: AnswerStore) -> None:
    cache = ExactCache(store, KEY, SCOPE)
    warm = replace(GREEDY, temperature=0.7, seed=1)
    assert not repeatable(warm)
    await cache.keep(asked(warm), QUESTION, ANSWER, 1.0)
    assert await cache.recall(QUESTION, warm, 1.0) is None
    assert await store.forget() == 0


async def test_neither_question_nor_its_plain_digest_lies_in_the_file(tmp_path: Path) -> None:
    for name, key in (("one.db", KEY), ("two.db", b"o" * 32)):
        database = Database(tmp_path / name)
        await ExactCache(AnswerStore(database, 10, 100), key, SCOPE).keep(asked(GREEDY), QUESTION, replace(ANSWER, text="yes"), 1.0)
        digests = [row["digest"] for row in await database.run(lambda tables: list(tables.table("answers").rows))]
        database.close()
        assert b"river" not in (tmp_path / name).read_bytes()
        (tmp_path / f"{name}.digest").write_text(digests[0])
    assert (tmp_path / "one.db.digest").read_text() != (tmp_path / "two.db.digest").read_text()


async def test_answers_that_are_forgotten_are_counted(store: AnswerStore) -> None:
    await ExactCache(store, KEY, SCOPE).keep(asked(GREEDY), QUESTION, ANSWER, 1.0)
    assert await store.forget() == 1
    assert await ExactCache(store, KEY, SCOPE).recall(QUESTION, GREEDY, 1.0) is None


async def test_what_was_answered_under_another_policy_is_not_recalled_though_it_was_exchanged_meanwhile(store: AnswerStore) -> None:
    digests = ["sha256:1"]
    cache = ExactCache(store, KEY, SCOPE, lambda: digests[-1])
    await cache.keep(asked(GREEDY), QUESTION, ANSWER, 1.0)
    assert await cache.recall(QUESTION, GREEDY, 1.0) == ANSWER
    digests.append("sha256:2")
    assert await cache.recall(QUESTION, GREEDY, 1.0) is None
