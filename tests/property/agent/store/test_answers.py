"""The exact cache over its real table, against a model in plain Python."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.cache.exact import CachedAnswer, ExactCache
from agent.prompts import Message, Prompt, Sampling
from agent.store.answers import AnswerStore
from agent.store.database import Database

MOST, AGE_SECONDS, TOUCH_SECONDS = 2, 20_000.0, 3600.0

Question = tuple[tuple[str, ...], tuple[Message, ...], Sampling]

A, B = (Message("user", "a"),), (Message("system", "a"), Message("user", "b"))
QUESTIONS: list[Question] = [
    (("model-1", "policy-1"), A, Sampling()),
    (("model-2", "policy-1"), A, Sampling()),
    (("model-1", "policy-2"), A, Sampling()),
    (("model-1", "policy-1"), B, Sampling()),
    (("model-1", "policy-1"), A, Sampling(max_tokens=5)),
    (("model-1", "policy-1"), A, Sampling(temperature=0.5)),
]
"""Each differs from the first in one thing."""

questions = st.sampled_from(QUESTIONS)
waits = st.sampled_from([1, 60, 3700, 10_000])  # never 0: no two uses at the same time, so that it is clear which was first


class Kept:
    """What the model remembers of an answer."""

    def __init__(self, text: str, now: float) -> None:
        self.text = text
        self.created = self.used = now


class CacheMachine(RuleBasedStateMachine):
    """Keeps, recalls, forgets and restarts, while time goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = TemporaryDirectory()
        self.now = 1_000_000.0
        self.kept: dict[Question, Kept] = {}

    @initialize()
    def open(self) -> None:
        self.database = Database(Path(self.folder.name) / "agent.db")
        self.store = AnswerStore(self.database, MOST, AGE_SECONDS)

    def cache(self, scope: tuple[str, ...]) -> ExactCache:
        return ExactCache(self.store, b"k" * 32, scope)

    @rule(question=questions, text=st.text(max_size=5), seconds=waits)
    def keep(self, question: Question, text: str, seconds: int) -> None:
        scope, messages, sampling = question
        self.now += seconds
        self.runner.run(self.cache(scope).keep(prompt(messages, sampling, self.now), messages, answer(text), self.now))
        if sampling.temperature == 0:
            self.kept[question] = Kept(text, self.now)
            fresh = {asked: kept for asked, kept in self.kept.items() if kept.created >= self.now - AGE_SECONDS}
            self.kept = dict(sorted(fresh.items(), key=lambda item: item[1].used)[-MOST:])

    @rule(question=questions, seconds=waits, seed=st.none() | st.integers())
    def recall(self, question: Question, seconds: int, seed: int | None) -> None:
        scope, messages, sampling = question
        self.now += seconds
        recalled = self.runner.run(self.cache(scope).recall(messages, replace(sampling, seed=seed), self.now))
        kept = self.kept.get(question)
        if kept is None or kept.created < self.now - AGE_SECONDS:
            assert recalled is None
        else:
            assert recalled == answer(kept.text)
            if kept.used + TOUCH_SECONDS < self.now:
                kept.used = self.now

    @rule()
    def forget(self) -> None:
        assert self.runner.run(self.store.forget()) == len(self.kept)
        self.kept = {}

    @rule()
    def restart(self) -> None:
        self.database.close()
        self.open()

    @invariant()
    def the_table_holds_what_it_should_and_no_more(self) -> None:
        rows = self.runner.run(self.database.run(lambda tables: list(tables.table("answers").rows)))
        texts = [self.runner.run(self.store.get(row["digest"], row["create_time"])) for row in rows]
        held = {(json.loads(text or "")["text"], row["create_time"], row["used_time"]) for text, row in zip(texts, rows, strict=True)}
        assert len(rows) == len(held) <= MOST
        assert held == {(kept.text, kept.created, kept.used) for kept in self.kept.values()}

    def teardown(self) -> None:
        self.database.close()
        self.runner.close()
        self.folder.cleanup()


def prompt(messages: tuple[Message, ...], sampling: Sampling, now: float) -> Prompt:
    return Prompt("p", "c", messages, datetime.fromtimestamp(now, UTC), sampling=sampling)


def answer(text: str) -> CachedAnswer:
    return CachedAnswer(text, "stop", 1, 2, "m", "sha256:m", None)


TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=20, stateful_step_count=30)
