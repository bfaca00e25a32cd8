"""What the path of a prompt does where the hub cannot be reached, and when it can be again."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry

from agent.escalation import Completion, EscalationFailed
from agent.later.promises import Promises
from agent.later.prompts import LatePrompt
from agent.narrowing import Narrowing
from agent.output_rules import build_rules
from agent.pipeline import Pipeline
from agent.prompts import Answer, Message, Prompt, Sampling
from agent.redacting import NOTE
from agent.store.audit import ReceiptStore
from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.outbox import Outbox
from agent.store.subjects import Subject
from agent.telemetry import Metrics
from contract.classification import Classification, DataClass
from contract.decision import Decision
from contract.policy import Policy
from contract.receipts import Departure
from contract.surroundings import Surroundings
from tests.fakes.engine import FakeEngine
from tests.fakes.escalator import FakeEscalator
from tests.fakes.parts import make_parts
from tests.fakes.surroundings import HERE

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CARD = "my card is 4111 1111 1111 1111"
MAIL = "Write to ada@example.org about the pump."


class Cloud(FakeEscalator):
    """A way to the hub that is down until it is up; what it fails with can be chosen. Where a gate is set, the next answer waits for it."""

    def __init__(self, *pieces: str) -> None:
        super().__init__(list(pieces))
        self.failure: EscalationFailed | None = EscalationFailed("hub-unavailable", sent=False)
        self.gate: asyncio.Event | None = None
        self.begun = asyncio.Event()

    async def connect(self) -> None:
        if self.failure is not None and not self.failure.sent:
            raise self.failure

    async def escalate(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        classification: Classification,
        decision: Decision,
        surroundings: Surroundings,
    ) -> AsyncGenerator[str | Completion, None]:
        gate, self.gate = self.gate, None
        self.begun.set()
        if gate is not None:
            await gate.wait()
        async for piece in super().escalate(messages, sampling, classification, decision, surroundings):
            if self.failure is not None:
                raise self.failure
            yield piece


class Site:
    """A pipeline that promises better answers, and its parts."""

    def __init__(self, database: Database, most_entries: int = 9, seconds: float = 60.0, **changes: Any) -> None:
        self.cloud = Cloud("better", " answer")
        self.outbox = Outbox(database, most_entries)
        self.receipts = ReceiptStore(database, 3600)
        self.engine = FakeEngine(["I", " guess"], 0.1)
        parts = make_parts(database, self.engine, self.cloud, promises=Promises(self.outbox, seconds), receipts=self.receipts)
        self.pipeline = Pipeline(replace(parts, **changes), lambda: NOW)

    async def ask(self, text: str, **fields: Any) -> Answer:
        asked = Prompt(fields.pop("prompt_id", "p1"), "c1", (Message("user", text),), NOW, **fields)
        *_, answer = [piece async for piece in self.pipeline.answer(asked)]
        assert isinstance(answer, Answer)
        return answer

    async def late(self) -> LatePrompt | None:
        entry = await self.outbox.next(0, NOW.timestamp())
        return None if entry is None else LatePrompt.from_bytes(entry.content)

    async def better(self) -> Answer:
        """The hub is back, and is asked again for the oldest that waits."""
        self.cloud.failure = None
        late = await self.late()
        assert late is not None
        return await self.pipeline.better(late)


@pytest.mark.parametrize("failure", [EscalationFailed("hub-unavailable", sent=False), EscalationFailed("providers-unavailable", sent=True)])
async def test_a_prompt_that_could_not_reach_the_hub_waits_on_the_disk_when_its_provisional_answer_is_there(
    database: Database, failure: EscalationFailed
) -> None:
    site = Site(database)
    site.cloud.failure = failure
    answer = await site.ask("hello", intake="mqtt")
    assert (answer.text, answer.receipt.provisional, answer.better_until) == ("I guess", True, NOW + timedelta(seconds=60))
    late = await site.late()
    assert late is not None
    assert (late.receipt_id, late.prompt.messages, late.data_class) == (
        answer.receipt.receipt_id,
        (Message("user", "hello"),),
        DataClass.PUBLIC,
    )


async def test_the_better_answer_has_its_receipt_and_is_what_whoever_asks_the_same_gets(database: Database) -> None:
    registry = CollectorRegistry()
    site = Site(database, metrics=Metrics(registry))
    await site.ask("hello")
    better = await site.better()
    labels = {"seawall_route": "escalated", "gen_ai_token_type": "output"}
    assert registry.get_sample_value("gen_ai_client_token_usage_total", labels) == 7
    assert (better.text, better.receipt.prompt_id, better.receipt.route, better.better_until) == ("better answer", "p1", "escalated", None)
    assert "followed-up" in better.receipt.reasons
    assert better.receipt.departure == Departure(1, 5, "cloud", "private", "eu")
    assert [row["receipt_id"] for row in await site.receipts.latest(1)] == [better.receipt.receipt_id]
    again = await site.ask("hello", prompt_id="p2")
    assert (again.text, again.receipt.route) == ("better answer", "cache")


@pytest.mark.parametrize(
    "why", ["quota-spent", "not-enrolled", "agent-suspended", "no-provider-allowed", "data-class-not-allowed", "certificate-invalid"]
)
async def test_a_refusal_is_not_asked_again(database: Database, why: str) -> None:
    site = Site(database)
    site.cloud.failure = EscalationFailed(why, sent=True)
    answer = await site.ask("hello", intake="mqtt")
    assert (answer.receipt.provisional, answer.better_until, await site.late()) == (True, None, None)


async def test_what_may_not_leave_is_not_kept_to_leave_later(database: Database) -> None:
    site = Site(database)
    assert (await site.ask(CARD, intake="mqtt")).better_until is None
    assert (await Site(database, surroundings=Surroundings).ask("hello", intake="mqtt")).better_until is None
    assert (await Site(database, narrowing=lambda: Narrowing(escalation_disabled=True)).ask("hello", intake="mqtt")).better_until is None
    assert await site.late() is None


async def test_an_answer_that_the_rules_withhold_is_not_asked_for_again(database: Database) -> None:
    site = Site(database, rules=build_rules(lambda _: False, ["better answer"]))
    site.cloud.failure = None
    answer = await site.ask("hello", intake="mqtt")
    assert (answer.receipt.provisional, answer.better_until) == (True, None)


async def test_nothing_is_kept_that_nobody_would_get(database: Database) -> None:
    """By HTTP, an answer that is neither cached nor part of a conversation reaches nobody."""
    site, random = Site(database), Sampling(temperature=1.0)
    assert (await site.ask("hello", intake="http", sampling=random)).better_until is None
    assert (await site.ask("hello", intake="http", sampling=random, conversation="talk")).better_until is not None
    assert (await site.ask("hello", prompt_id="p2", intake="mqtt", sampling=random)).better_until is not None


@pytest.mark.parametrize("site_of", [{"most_entries": 0}, {"promises": None}])
async def test_where_nothing_is_promised_the_provisional_answer_comes_as_ever(database: Database, site_of: dict[str, Any]) -> None:
    answer = await Site(database, **site_of).ask("hello", intake="mqtt")
    assert (answer.text, answer.receipt.provisional, answer.better_until) == ("I guess", True, None)


async def test_a_store_that_does_not_take_it_costs_the_promise_and_not_the_answer(database: Database) -> None:
    site = Site(database)
    await database.run(lambda tables: tables.execute("DROP TABLE outbox"))
    with structlog.testing.capture_logs() as logs:
        answer = await site.ask("a secret question", intake="mqtt")
    assert (answer.text, answer.better_until) == ("I guess", None)
    assert logs
    assert "secret" not in str(logs)


@pytest.mark.parametrize(
    "change",
    [
        {"policy": Policy("")},
        {"narrowing": lambda: Narrowing(escalation_disabled=True)},
        {"floors": lambda _: (DataClass.RESTRICTED,)},
        {"surroundings": lambda: replace(HERE, hub=None)},
    ],
)
async def test_it_is_decided_again_and_stays_where_it_may_not_leave_any_more(database: Database, change: dict[str, Any]) -> None:
    site = Site(database)
    await site.ask("hello")
    later = Site(database, **change)
    with pytest.raises(EscalationFailed) as refused:
        await later.better()
    assert (refused.value.why, refused.value.is_passing, later.cloud.sent) == ("not-allowed", False, [])


def out() -> Surroundings:
    return replace(HERE, can_redact=True)


async def test_it_leaves_redacted_and_comes_back_restored(database: Database) -> None:
    site = Site(database, surroundings=out)
    await site.ask(MAIL, conversation="talk", intake="mqtt")
    site.cloud.answer = lambda messages: ["I wrote to ", *messages[-1].content.split()[2], "."]
    better = await site.better()
    (sent,) = site.cloud.sent
    assert better.text == "I wrote to ada@example.org."
    assert (sent[0].content, "ada@" in sent[1].content, better.receipt.departure and better.receipt.departure.redacted) == (NOTE, False, 1)


async def test_what_could_leave_only_redacted_still_can_only_so_whatever_the_policy_has_become(database: Database) -> None:
    await Site(database, surroundings=out).ask(MAIL, intake="mqtt")
    later = Site(database, surroundings=out, policy=Policy('@id("all") permit (principal, action, resource);'))
    better = await later.better()
    assert "ada@" not in str(later.cloud.sent)
    assert better.receipt.data_class == "confidential"


async def test_the_class_that_it_had_is_the_least_that_it_has_later(database: Database) -> None:
    policy = Policy('@id("all") permit (principal, action, resource);')
    await Site(database, policy=policy, floors=lambda _: (DataClass.INTERNAL,)).ask("hello")
    better = await Site(database, policy=policy).better()
    assert better.receipt.data_class == "internal"


async def test_what_the_hub_had_raised_holds_for_the_late_prompt_and_not_for_its_conversation(database: Database) -> None:
    policy = Policy('@id("all") permit (principal, action, resource);')
    await Site(database, policy=policy, narrowing=lambda: Narrowing(floor=DataClass.INTERNAL)).ask("hello", conversation="talk")
    site = Site(database, policy=policy)
    assert (await site.better()).receipt.data_class == "internal"
    assert (await site.ask("and now?", prompt_id="p2", conversation="talk")).receipt.data_class == "public"


async def test_it_takes_the_place_of_the_provisional_one_in_its_conversation(database: Database) -> None:
    site = Site(database)
    await site.ask("one", conversation="talk")
    await site.better()
    await site.ask("two", prompt_id="p2", conversation="talk")
    assert [message.content for message in site.cloud.sent[-1]] == ["one", "better answer", "two"]


async def test_where_a_later_turn_was_made_the_conversation_stays_as_it_was(database: Database) -> None:
    site = Site(database)
    await site.ask("one", conversation="talk")
    await site.ask("two", prompt_id="p2", conversation="talk")
    await site.better()
    await site.ask("three", prompt_id="p3", conversation="talk")
    assert [message.content for message in site.cloud.sent[-1]] == ["one", "I guess", "two", "I guess", "three"]


async def test_no_live_prompt_of_the_conversation_waits_for_it(database: Database) -> None:
    site = Site(database)
    await site.ask("one", conversation="talk")
    gate = site.cloud.gate = asyncio.Event()
    site.cloud.begun.clear()
    waiting = asyncio.create_task(site.better())
    await site.cloud.begun.wait()
    assert (await site.ask("two", prompt_id="p2", conversation="talk")).text == "better answer"
    gate.set()
    assert (await waiting).text == "better answer"


async def test_what_left_in_a_vain_attempt_has_its_receipt(database: Database) -> None:
    site = Site(database)
    await site.ask("hello")
    late = await site.late()
    assert late is not None
    site.cloud.failure = EscalationFailed("providers-unavailable", sent=True)
    with pytest.raises(EscalationFailed):
        await site.pipeline.better(late)
    latest, provisional = await site.receipts.latest(2)
    assert (latest["route"], latest["provisional"], latest["departure"]["characters"]) == ("escalated", True, 5)
    assert latest["reasons"][-2:] == ["followed-up", "providers-unavailable"]
    assert provisional["departure"] is None


async def test_whoever_is_forgotten_gets_no_better_answer_and_leaves_none_behind(database: Database) -> None:
    site = Site(database)
    await site.ask("hello", conversation="talk")
    late = await site.late()
    assert (await forget(database, Subject("c1", "talk"), NOW.timestamp()))["outbox"] == 1
    assert await site.late() is None
    site.cloud.failure = None
    assert late is not None
    await site.pipeline.better(late)  # it was under way
    kept = await database.run(lambda tables: [tables.table(name).count for name in ("turns", "answers", "outbox")])
    assert kept == [0, 0, 0]


async def test_a_prompt_that_is_answered_again_after_a_crash_waits_once_for_the_answer_given_last(database: Database) -> None:
    site = Site(database)
    await site.ask("hello", intake="mqtt")
    second = await site.ask("hello", intake="mqtt")
    late = await site.late()
    assert late is not None
    assert (late.receipt_id, await site.outbox.count()) == (second.receipt.receipt_id, 1)
