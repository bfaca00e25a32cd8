"""The worker behind the outbox: one prompt at a time, a bounded number of times, and only when the hub is there."""

import asyncio
import random
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from agent.escalation import EscalationFailed
from agent.later.promises import Promises
from agent.later.prompts import LatePrompt
from agent.later.worker import LateTimes, LateWorker
from agent.prompts import Answer, Message, Prompt
from agent.store.database import Database
from agent.store.inbox import Wanted
from agent.store.outbox import Outbox
from agent.telemetry import Metrics
from contract.classification import DataClass
from contract.errors import Reason, Unavailable
from tests.fakes.answerer import receipt

NOW = datetime(2026, 1, 2, tzinfo=UTC)
AWAY = EscalationFailed("hub-unavailable", sent=False)
BROKEN = EscalationFailed("providers-unavailable", sent=True)


class Hub:
    """Answers every prompt, or fails as it is told to."""

    def __init__(self) -> None:
        self.is_away = False
        self.failures: dict[str, Exception] = {}
        self.next_failures: list[Exception] = []
        self.asked: list[str] = []
        self.at_once = 0

    async def reach(self) -> None:
        if self.is_away:
            raise AWAY

    async def better(self, late: LatePrompt) -> Answer:
        self.asked.append(late.prompt.prompt_id)
        self.at_once += 1
        assert self.at_once == 1, "one at a time"
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.next_failures:
            raise self.next_failures.pop(0)
        if failure := self.failures.get(late.prompt.prompt_id):
            raise failure
        return Answer("better", "stop", 1, 1, receipt(late.prompt.prompt_id))


class Askers:
    """Whoever got the provisional answers."""

    def __init__(self) -> None:
        self.wants: dict[str, Wanted] = {}
        self.given: list[str] = []
        self.got = asyncio.Event()

    async def want(self, late: LatePrompt) -> Wanted:
        return self.wants.get(late.prompt.prompt_id, Wanted.YES)

    async def give(self, late: LatePrompt, answer: Answer) -> None:
        assert answer.text == "better"
        self.given.append(late.prompt.prompt_id)
        self.got.set()


class Bench:
    """A worker, and all around it."""

    def __init__(self, database: Database, times: LateTimes | None = None) -> None:
        self.outbox = Outbox(database, 9)
        self.hub, self.askers, self.registry = Hub(), Askers(), CollectorRegistry()
        self.now = NOW
        metrics = Metrics(self.registry)
        self.worker = LateWorker(self.outbox, self.hub, self.askers, metrics, lambda: self.now, random.Random(1), times)

    async def promise(self, *names: str) -> None:
        for name in names:
            prompt = Prompt(name, "c1", (Message("user", "hello"),), NOW, intake="mqtt")
            assert await Promises(self.outbox, 3600).promise(LatePrompt(prompt, "r", DataClass.PUBLIC, False), True, NOW)

    async def rounds(self, count: int) -> list[float | None]:
        return [await self.worker.once() for _ in range(count)]

    def counted(self, outcome: str) -> float:
        return self.registry.get_sample_value("seawall_agent_follow_ups_total", {"outcome": outcome}) or 0.0


@pytest.fixture
def bench(database: Database) -> Bench:
    return Bench(database)


async def test_all_that_wait_are_answered_one_after_the_other_without_a_pause(bench: Bench) -> None:
    await bench.promise("a", "b", "c")
    assert await bench.rounds(4) == [0.0, 0.0, 0.0, None]
    assert (bench.askers.given, bench.worker.state, bench.counted("answered")) == (["a", "b", "c"], "none waits", 3)


async def test_while_the_hub_is_away_none_is_asked_no_attempt_counts_and_the_tries_grow_rare(bench: Bench) -> None:
    await bench.promise("a")
    bench.hub.is_away = True
    delays = await bench.rounds(20)
    assert (bench.hub.asked, bench.worker.state) == ([], "1 wait: hub-unavailable")
    assert all(delay is not None and 0.5 * bound <= delay <= bound for delay, bound in zip(delays, [4, 8, *[15] * 18], strict=True))
    bench.hub.is_away = False
    await bench.rounds(1)
    assert bench.askers.given == ["a"]


async def test_how_long_the_hub_was_away_does_not_count_when_a_provider_fails(bench: Bench) -> None:
    await bench.promise("a")
    bench.hub.is_away = True
    await bench.rounds(9)
    bench.hub.is_away = False
    bench.hub.failures["a"] = BROKEN
    (delay,) = await bench.rounds(1)
    assert delay is not None
    assert 2 <= delay <= 4


async def test_one_that_fails_does_not_hold_back_those_behind_it_and_is_given_up_at_last(database: Database) -> None:
    bench = Bench(database, LateTimes(attempts=3))
    await bench.promise("a", "b")
    bench.hub.failures["a"] = BROKEN
    await bench.rounds(12)
    assert (bench.hub.asked, bench.askers.given) == (["a", "b", "a", "a"], ["b"])
    assert (await bench.outbox.count(), bench.counted("given-up")) == (0, 1)


async def test_one_of_which_the_process_has_died_too_often_is_given_up_unasked(bench: Bench) -> None:
    await bench.promise("a")
    for _ in range(LateTimes().attempts):
        await bench.outbox.begin(bench.outbox.name("c1", "a"))
    await bench.rounds(1)
    assert (bench.hub.asked, await bench.outbox.count(), bench.counted("given-up")) == ([], 0, 1)


async def test_a_refusal_ends_it(bench: Bench) -> None:
    await bench.promise("a")
    bench.hub.failures["a"] = EscalationFailed("not-allowed", sent=False)
    assert await bench.rounds(2) == [0.0, None]
    assert bench.counted("not-allowed") == 1


async def test_a_quota_that_is_spent_is_waited_for(bench: Bench) -> None:
    await bench.promise("a")
    bench.hub.failures["a"] = EscalationFailed("quota-spent", sent=True)
    (delay,) = await bench.rounds(1)
    assert delay
    bench.hub.failures.clear()
    await bench.rounds(2)
    assert bench.askers.given == ["a"]


async def test_one_whose_provisional_answer_is_not_delivered_waits_without_an_attempt_and_blocks_no_other(bench: Bench) -> None:
    await bench.promise("a", "b")
    bench.askers.wants["a"] = Wanted.NOT_YET
    await bench.rounds(20)
    assert (bench.askers.given, await bench.outbox.count()) == (["b"], 1)
    bench.askers.wants.clear()
    await bench.rounds(2)
    assert bench.askers.given == ["b", "a"]


async def test_what_nobody_wants_any_more_is_not_asked(bench: Bench) -> None:
    await bench.promise("a", "b")
    bench.askers.wants["a"] = Wanted.NO
    bench.now += timedelta(seconds=10)
    await bench.rounds(1)
    bench.now += timedelta(hours=1)
    await bench.rounds(1)
    assert (bench.hub.asked, bench.counted("unwanted"), bench.counted("expired")) == ([], 1, 1)


async def test_what_was_written_by_another_version_is_dropped(bench: Bench, database: Database) -> None:
    await bench.promise("a")
    entry = await bench.outbox.next(0, 0.0)
    assert entry is not None

    def rewrite(tables: object) -> None:
        key = database.keys.current(tables, entry.subject, NOW.timestamp())  # type: ignore[arg-type]
        sealed = key.sealer.seal(b'{"format": 2}', "outbox", "content", entry.entry_id)
        tables.execute("UPDATE outbox SET content = ?, key = ?", [sealed, key.number])  # type: ignore[attr-defined]

    await database.run(rewrite)
    await bench.rounds(1)
    assert (bench.hub.asked, await bench.outbox.count()) == ([], 0)


async def test_it_wakes_when_a_prompt_is_promised_and_goes_on_after_a_store_was_away(database: Database) -> None:
    bench = Bench(database, LateTimes(first_seconds=0.001, away_seconds=0.001, failing_seconds=0.001))
    bench.hub.next_failures = [Unavailable(Reason.STORE_UNAVAILABLE, "The store is away."), sqlite3.OperationalError("disk full"), BROKEN]
    running = asyncio.create_task(bench.worker.run())
    await bench.promise("a")
    await asyncio.wait_for(bench.askers.got.wait(), 10)
    assert bench.hub.asked == ["a"] * 4
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_after_a_restart_what_waits_is_asked(database: Database) -> None:
    await Bench(database).promise("a")
    again = Bench(database)
    await again.rounds(1)
    assert again.askers.given == ["a"]


async def test_a_prompt_whose_asker_was_forgotten_at_the_last_moment_is_not_sent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.promise("a")

    async def want(late: LatePrompt) -> Wanted:
        await bench.outbox.done(bench.outbox.name("c1", late.prompt.prompt_id))  # as seawall-agent forget, beside the agent
        return Wanted.YES

    monkeypatch.setattr(bench.askers, "want", want)
    await bench.rounds(1)
    assert (bench.hub.asked, bench.counted("unwanted")) == ([], 1)


async def test_one_that_was_given_up_waits_no_more(database: Database) -> None:
    bench = Bench(database, LateTimes(attempts=1))
    await bench.promise("a")
    bench.hub.failures["a"] = BROKEN
    await bench.rounds(1)
    assert (bench.worker.state, bench.counted("given-up")) == ("none waits", 1)
