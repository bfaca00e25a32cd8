"""The path of a prompt, every step real but the model and the hub."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest
import structlog
from prometheus_client import CollectorRegistry

from agent.inference.away import ModelAway
from agent.inference.session import ModelFailed
from agent.prompts import Delta, Message, Sampling
from agent.store.audit import ReceiptStore
from agent.store.database import Database
from agent.store.live import LiveCounts, LiveStore
from agent.telemetry import Metrics
from agent.traffic import LiveAnswer, Traffic
from contract.errors import Busy, PromptTooLong, Reason, Unavailable
from tests.fakes.engine import BUNDLE, FakeEngine
from tests.fakes.escalator import FakeEscalator
from tests.fakes.pipelines import CARD, SURE, UNSURE, Build, Exchanged, ask, prompt


async def test_a_confident_answer_stays_on_the_device(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])
    answer = await ask(build(FakeEngine(["a", " b", " c"], SURE), escalator), prompt("hello"))
    assert (answer.text, answer.receipt.route, answer.receipt.departure) == ("a b c", "local", None)
    assert answer.receipt.confidence == pytest.approx(SURE)
    assert answer.receipt.model_digest.startswith("sha256:")
    assert "confident" in answer.receipt.reasons
    assert escalator.sent == []


async def test_what_the_model_answers_is_told_with_whether_it_was_sure(build: Build) -> None:
    traffic, heard = Traffic(), list[LiveAnswer]()
    traffic.listen(heard.append)
    sure, unsure = FakeEngine(["a", " b"], SURE), FakeEngine(["a", " b"], UNSURE)
    await ask(build(sure, traffic=traffic), prompt("hello"))
    await ask(build(sure, traffic=traffic), prompt("hello", prompt_id="again"))
    await ask(build(unsure, FakeEscalator(["cloud"]), traffic=traffic), prompt("hi"))
    await ask(build(unsure, traffic=traffic), prompt(CARD))
    assert [(answer.is_unsure, answer.texts) for answer in heard] == [(False, ("a", " b")), (True, ()), (True, ("a", " b"))]
    assert heard[0].messages == (Message("user", "hello"),)
    assert heard[0].output_tokens == 3
    assert CARD not in repr(heard)


async def test_only_a_failure_of_the_model_itself_counts_against_it(build: Build, database: Database) -> None:
    traffic, live = Traffic(), LiveStore(database, 3600)
    for error in (PromptTooLong(Reason.PROMPT_TOO_LONG, "Too long."), Busy(Reason.QUEUE_FULL, "Full."), RuntimeError("a mistake of ours")):
        with pytest.raises(type(error)):
            await ask(build(FakeEngine(["a"], SURE, error), traffic=traffic), prompt("hello"))
    await traffic.write(live)
    assert await live.of(BUNDLE.digest()) == LiveCounts()
    for failure in (ModelFailed(Reason.INTERNAL, "It failed."), Unavailable(Reason.AGENT_STOPPING, "Its thread has died.")):
        with pytest.raises(type(failure)):
            await ask(build(FakeEngine(["a"], SURE, failure), traffic=traffic), prompt("hello"))
    await traffic.write(live)
    assert await live.of(BUNDLE.digest()) == LiveCounts(errors=2)


async def test_the_same_prompt_again_comes_from_the_cache(build: Build) -> None:
    engine = FakeEngine(["a"], SURE)
    pipeline = build(engine)
    first = await ask(pipeline, prompt("hello"))
    again = await ask(pipeline, prompt("hello", prompt_id="p2", client="c2"))
    assert (again.text, again.receipt.route, len(engine.asked)) == (first.text, "cache", 1)
    assert again.receipt.receipt_id != first.receipt.receipt_id


async def test_random_sampling_is_never_cached(build: Build) -> None:
    pipeline = build(FakeEngine(["a"], SURE))
    for _ in range(2):
        answer = await ask(pipeline, prompt("hello", sampling=Sampling(temperature=1.0)))
        assert answer.receipt.route == "local"


async def test_nothing_is_given_before_the_first_tokens_are_judged(build: Build) -> None:
    engine = FakeEngine(["a", "b", "c", "d"], SURE)
    async with aclosing(build(engine).answer(prompt("hello", stream=True))) as pieces:
        assert await anext(pieces) == Delta("a")
        assert engine.given_words == 2


async def test_closing_the_answer_cancels_the_model(build: Build) -> None:
    engine = FakeEngine(["a", "b", "c", "d"], SURE)
    async with aclosing(build(engine).answer(prompt("hello"))) as pieces:
        await anext(pieces)
    assert engine.is_cancelled


async def test_a_conversation_is_continued_for_its_own_client_alone(build: Build) -> None:
    engine = FakeEngine(["fine"], SURE)
    pipeline = build(engine)
    await ask(pipeline, prompt("one", conversation="talk"))
    await ask(pipeline, prompt("two", prompt_id="p2", conversation="talk"))
    await ask(pipeline, prompt("three", client="thief", conversation="talk"))
    assert [message.content for message in engine.asked[1]] == ["one", "fine", "two"]
    assert [message.content for message in engine.asked[2]] == ["three"]


async def test_of_two_turns_that_come_together_the_second_sees_the_answer_to_the_first(build: Build) -> None:
    engine = FakeEngine(["fine"], SURE)
    pipeline = build(engine)
    await asyncio.gather(
        ask(pipeline, prompt("one", conversation="talk")),
        ask(pipeline, prompt("two", prompt_id="p2", conversation="talk")),
        ask(pipeline, prompt("three", client="c2", conversation="talk")),
    )
    asked = {messages[-1].content: [message.content for message in messages] for messages in engine.asked}
    assert asked == {"one": ["one"], "two": ["one", "fine", "two"], "three": ["three"]}


async def test_a_prompt_that_is_answered_again_after_a_crash_stands_once_in_its_conversation(build: Build) -> None:
    engine = FakeEngine(["fine"], SURE)
    pipeline = build(engine)
    for _ in range(2):
        await ask(pipeline, prompt("one", conversation="talk"))
    await ask(pipeline, prompt("two", prompt_id="p2", conversation="talk"))
    assert [message.content for message in engine.asked[-1]] == ["one", "fine", "two"]


async def test_the_oldest_turns_make_room_where_a_conversation_is_too_long(build: Build) -> None:
    engine = FakeEngine(["fine"], SURE)
    pipeline = build(engine)
    for number in range(30):
        await ask(pipeline, prompt(f"question number {number}", prompt_id=f"p{number}", conversation="talk"))
    assert engine.count_tokens(engine.asked[-1]) <= engine.context_tokens * 3 // 4
    assert engine.asked[-1][-1].content == "question number 29"


async def test_a_refusal_of_the_model_reaches_the_client_and_is_counted(build: Build) -> None:
    registry = CollectorRegistry()
    refusal = PromptTooLong(Reason.PROMPT_TOO_LONG, "too long")
    pipeline = build(FakeEngine([], SURE, error=refusal), metrics=Metrics(registry))
    with pytest.raises(PromptTooLong):
        await ask(pipeline, prompt("hello"))
    assert registry.get_sample_value("seawall_agent_refusals_total", {"reason": "PROMPT_TOO_LONG"}) == 1


async def test_a_mistake_of_our_own_is_counted_too(build: Build) -> None:
    registry = CollectorRegistry()
    pipeline = build(FakeEngine([], SURE, error=RuntimeError("bug")), metrics=Metrics(registry))
    with pytest.raises(RuntimeError):
        await ask(pipeline, prompt("hello"))
    assert registry.get_sample_value("seawall_agent_refusals_total", {"reason": "INTERNAL"}) == 1


async def test_receipts_are_kept_and_hold_no_text(build: Build, database: Database) -> None:
    pipeline = build(FakeEngine(["fine"], UNSURE), FakeEscalator(["better"]))
    answer = await ask(pipeline, prompt("a secret question"))
    (row,) = await ReceiptStore(database, 3600).latest(10)
    assert row["receipt_id"] == answer.receipt.receipt_id
    assert "secret" not in str(row)
    assert "better" not in str(row)


async def test_prompt_and_answer_are_never_logged(build: Build) -> None:
    with structlog.testing.capture_logs() as logs:
        pipeline = build(FakeEngine(["fine"], UNSURE), FakeEscalator([], breaks_after=0))
        await ask(pipeline, prompt(f"a question, {CARD}"))
        await ask(pipeline, prompt("another question"))
    assert "question" not in str(logs)
    assert "4111" not in str(logs)


async def test_while_the_model_is_away_what_was_cached_is_answered_and_what_may_leave_is_escalated(build: Build) -> None:
    models, escalator = Exchanged(FakeEngine(["a"], SURE)), FakeEscalator(["cloud"])
    pipeline = build(models, escalator)
    await ask(pipeline, prompt("hello"))
    models.take_away()
    kept = await ask(pipeline, prompt("hello", prompt_id="p2"))
    assert (kept.text, kept.receipt.route) == ("a", "cache")
    sent = await ask(pipeline, prompt("another", prompt_id="p3"))
    assert (sent.text, sent.receipt.route, sent.receipt.confidence) == ("cloud", "escalated", None)
    assert "model-away" in sent.receipt.reasons


@pytest.mark.parametrize("escalator", [FakeEscalator(["cloud"]), FakeEscalator([], breaks_after=0, sent=False)])
async def test_while_the_model_is_away_the_rest_is_refused_with_when_to_ask_again(build: Build, escalator: FakeEscalator) -> None:
    models = Exchanged(FakeEngine(["a"], SURE))
    models.take_away()
    with pytest.raises(ModelAway) as refused:
        await ask(build(models, escalator), prompt(CARD if escalator.pieces else "hello"))
    assert refused.value.reason is Reason.MODEL_LOADING
    assert "about 3 s" in refused.value.message


async def test_a_new_model_is_not_given_the_answers_of_the_old_one(build: Build) -> None:
    engine = FakeEngine(["old"], SURE)
    pipeline = build(engine)
    await ask(pipeline, prompt("hello"))
    engine.bundle = replace(engine.bundle, version="2")
    engine.words = ["new"]
    answer = await ask(pipeline, prompt("hello", prompt_id="p2"))
    assert (answer.text, answer.receipt.route, answer.receipt.model) == ("new", "local", "models/fake/versions/2")


async def test_a_receipt_says_what_it_took_and_by_which_way_the_prompt_came(build: Build) -> None:
    receipt = (await ask(build(FakeEngine(["a"], UNSURE), FakeEscalator(["better"])), prompt("hello", intake="mqtt"))).receipt
    assert (receipt.input_tokens, receipt.output_tokens, receipt.intake) == (5, 7, "mqtt")
