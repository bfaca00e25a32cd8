"""The path of a prompt, every step real but the model and the hub."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry

from agent.cache.exact import ExactCache
from agent.confidence import ConfidenceSettings
from agent.escalation import EscalationFailed
from agent.inference.away import AwayModel, ModelAway, model_loading
from agent.inference.current import LocalModel
from agent.inference.engine import Finished, Piece
from agent.inference.session import ModelFailed
from agent.narrowing import Narrowing
from agent.output_rules import build_rules
from agent.pipeline import Parts, Pipeline
from agent.policies.in_force import Chosen, PolicyInForce
from agent.prompts import Answer, Delta, Message, Prompt, Sampling
from agent.redacting import NOTE, Redactor
from agent.store.answers import AnswerStore
from agent.store.audit import ReceiptStore
from agent.store.classes import ClassStore
from agent.store.conversations import ConversationStore
from agent.store.database import Database
from agent.store.live import LiveCounts, LiveStore
from agent.store.vault import Vault
from agent.telemetry import Metrics
from agent.traffic import LiveAnswer, Traffic
from contract.classification import DataClass, Finding
from contract.errors import Busy, PromptTooLong, Reason, Unavailable
from contract.policy import Policy
from contract.receipts import Departure
from contract.surroundings import Surroundings
from tests.fakes.classifier import classifier
from tests.fakes.engine import BUNDLE, FakeEngine
from tests.fakes.escalator import FakeEscalator
from tests.fakes.surroundings import HERE, HUB
from tests.fakes.vaults import MemoryVaults

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CARD = "my card is 4111 1111 1111 1111"
SURE, UNSURE = 0.9, 0.1

Build = Callable[..., Pipeline]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "agent.db")
    yield opened
    opened.close()


@pytest.fixture
def build(database: Database) -> Build:
    """Makes a pipeline; what a test does not name is the shipped thing."""

    def make(engine: "FakeEngine | Exchanged", escalator: FakeEscalator | None = None, **changes: Any) -> Pipeline:
        parts = Parts(
            agent_id="a1",
            classifier=classifier(),
            policy=Policy(resources.files("contract").joinpath("default.cedar").read_text()),
            cache=ExactCache(AnswerStore(database, 100, 3600), b"k" * 32, ["model", "policy"]),
            models=engine,
            confidence=ConfidenceSettings(bar=0.5, held_tokens=2),
            escalator=escalator or FakeEscalator([], breaks_after=0, sent=False),
            redactor=Redactor(Vault(database, 3600)),
            conversations=ConversationStore(database, 3600),
            classes=ClassStore(database, 3600),
            receipts=ReceiptStore(database, 3600),
            metrics=Metrics(CollectorRegistry()),
            surroundings=lambda: HERE,
        )
        return Pipeline(replace(parts, **changes), lambda: NOW)

    return make


def prompt(text: str, **fields: Any) -> Prompt:
    return Prompt(fields.pop("prompt_id", "p1"), fields.pop("client", "c1"), (Message("user", text),), NOW, **fields)


async def ask(pipeline: Pipeline, asked: Prompt) -> Answer:
    pieces = [piece async for piece in pipeline.answer(asked)]
    answer = pieces[-1]
    assert isinstance(answer, Answer)
    assert "".join(piece.text for piece in pieces[:-1] if isinstance(piece, Delta)) == answer.text
    return answer


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


async def test_an_unsure_public_prompt_is_escalated_and_its_answer_kept(build: Build) -> None:
    escalator = FakeEscalator(["better", " answer"])
    pipeline = build(FakeEngine(["a", " b", " c"], UNSURE), escalator)
    answer = await ask(pipeline, prompt("hello"))
    assert (answer.text, answer.receipt.route, answer.receipt.model) == ("better answer", "escalated", "big-model")
    assert answer.receipt.departure == Departure(1, len("hello"), "cloud", "private", "eu")
    again = await ask(pipeline, prompt("hello"))
    assert (again.text, again.receipt.route, again.receipt.departure) == ("better answer", "cache", None)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_card_number_keeps_an_unsure_prompt_on_the_device_and_out_of_the_cache(build: Build, stream: bool) -> None:
    escalator = FakeEscalator(["cloud"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator)
    for _ in range(2):
        answer = await ask(pipeline, prompt(CARD, stream=stream))
        assert (answer.receipt.route, answer.receipt.data_class, answer.receipt.data_kinds) == ("local", "restricted", ("CREDIT_CARD",))
        assert answer.receipt.departure is None
        assert "restricted-stays" in answer.receipt.reasons
    assert escalator.sent == []


async def test_a_card_number_in_an_earlier_turn_keeps_the_conversation_on_the_device(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator)
    await ask(pipeline, prompt(CARD, conversation="talk"))
    answer = await ask(pipeline, prompt("and now?", prompt_id="p2", conversation="talk"))
    assert answer.receipt.data_class == "restricted"
    assert escalator.sent == []


async def test_an_escalation_that_the_hub_has_disabled_does_not_happen(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])
    answer = await ask(build(FakeEngine(["a"], UNSURE), escalator, narrowing=lambda: Narrowing(escalation_disabled=True)), prompt("hello"))
    assert (answer.receipt.route, escalator.sent) == ("local", [])
    assert "hub-narrowed" in answer.receipt.reasons


async def test_a_cache_that_the_hub_has_disabled_neither_keeps_nor_gives(build: Build) -> None:
    engine = FakeEngine(["a"], SURE)
    pipeline = build(engine, narrowing=lambda: Narrowing(cache_disabled=True))
    for _ in range(2):
        assert (await ask(pipeline, prompt("hello"))).receipt.route == "local"
    assert len(engine.asked) == 2


async def test_a_floor_that_the_hub_has_raised_keeps_a_prompt_on_the_device(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, narrowing=lambda: Narrowing(floor=DataClass.RESTRICTED))
    answer = await ask(pipeline, prompt("hello"))
    assert (answer.receipt.data_class, answer.receipt.route, escalator.sent) == ("restricted", "local", [])
    assert "hub-floor" in answer.receipt.reasons


async def test_a_bar_that_the_hub_has_lowered_keeps_an_unsure_answer(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])
    answer = await ask(build(FakeEngine(["a"], UNSURE), escalator, narrowing=lambda: Narrowing(bar=0.05)), prompt("hello"))
    assert (answer.receipt.route, answer.receipt.provisional, escalator.sent) == ("local", False, [])


async def test_narrowing_holds_from_the_next_prompt_on_and_is_taken_back_as_well(build: Build) -> None:
    escalator, now = FakeEscalator(["cloud"]), [Narrowing()]
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, narrowing=lambda: now[0])
    for narrowing, route in ((Narrowing(), "escalated"), (Narrowing(escalation_disabled=True), "local"), (Narrowing(), "escalated")):
        now[0] = narrowing
        assert (await ask(pipeline, prompt(f"hello {len(escalator.sent)} {route}"))).receipt.route == route


@pytest.mark.parametrize("most_tokens", [1, 2, 3])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
async def test_fewer_tokens_do_not_make_an_answer_less_trusted(build: Build, most_tokens: int, temperature: float) -> None:
    """Its first token alone is below the bar, the two that are judged are not."""
    escalator = FakeEscalator(["cloud"])
    sampling = Sampling(temperature=temperature)
    free = await ask(build(FakeEngine(["a", " b", " c"], [0.3, 1.0, 1.0]), escalator), prompt("hello", sampling=sampling))
    narrowing = Narrowing(most_tokens=most_tokens, usual_tokens=50)
    capped = build(FakeEngine(["a", " b", " c"], [0.3, 1.0, 1.0]), escalator, narrowing=lambda: narrowing)
    answer = await ask(capped, prompt("hello", sampling=sampling))
    assert (answer.text, answer.finish_reason, answer.output_tokens) == ("a b c"[: most_tokens * 2 - 1], "length", most_tokens)
    assert (answer.receipt.route, answer.receipt.confidence) == (free.receipt.route, free.receipt.confidence) == ("local", 0.5477)
    assert escalator.sent == []


async def test_tokens_that_are_judged_and_not_given_are_not_given_after_a_vain_escalation_either(build: Build) -> None:
    narrowing = Narrowing(most_tokens=1, usual_tokens=50)
    pipeline = build(FakeEngine(["a", " b"], UNSURE), FakeEscalator(["x"], breaks_after=0), narrowing=lambda: narrowing)
    answer = await ask(pipeline, prompt("hello"))
    assert (answer.text, answer.output_tokens, answer.receipt.provisional) == ("a", 1, True)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("narrowed", [Narrowing(escalation_disabled=True), Narrowing(floor=DataClass.RESTRICTED), Narrowing(bar=0.05)])
async def test_what_is_narrowed_while_a_prompt_waits_keeps_it_on_the_device(build: Build, narrowed: Narrowing, stream: bool) -> None:
    now = [Narrowing()]

    class Connecting(FakeEscalator):
        async def connect(self) -> None:
            now[0] = narrowed

    escalator = Connecting(["cloud"])
    answer = await ask(build(FakeEngine(["a", " b", " c"], UNSURE), escalator, narrowing=lambda: now[0]), prompt("hello", stream=stream))
    assert (answer.text, answer.receipt.route, answer.receipt.departure, escalator.sent) == ("a b c", "local", None, [])
    assert answer.receipt.data_class == str(max(narrowed.floor, DataClass.PUBLIC))


async def test_an_answer_is_not_kept_once_the_cache_is_disabled(build: Build) -> None:
    class Disabling(FakeEngine):
        def generate(self, *arguments: Any, **fields: Any) -> AsyncGenerator[Piece | Finished, None]:
            now[0] = Narrowing(cache_disabled=True)
            return super().generate(*arguments, **fields)

    now = [Narrowing()]
    pipeline = build(Disabling(["a"], SURE), narrowing=lambda: now[0])
    for _ in range(2):
        now[0] = Narrowing()
        assert (await ask(pipeline, prompt("hello"))).receipt.route == "local"


async def test_a_broken_detector_means_restricted_and_uncached(build: Build) -> None:
    def broken(text: str) -> Iterator[Finding]:
        raise RuntimeError(text)

    escalator = FakeEscalator(["cloud"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, classifier=classifier(broken))
    for _ in range(2):
        answer = await ask(pipeline, prompt("hello"))
        assert (answer.text, answer.receipt.data_class, answer.receipt.route) == ("a", "restricted", "local")
    assert escalator.sent == []


async def test_an_empty_policy_denies_everything_but_the_local_answer(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, policy=Policy(""))
    for _ in range(2):
        answer = await ask(pipeline, prompt("hello"))
        assert (answer.receipt.route, answer.receipt.provisional) == ("local", False)
        assert "default-deny" in answer.receipt.reasons
    assert escalator.sent == []


async def test_without_the_hub_the_local_answer_is_provisional_and_nothing_left(build: Build) -> None:
    pipeline = build(FakeEngine(["a", " b", " c"], UNSURE), FakeEscalator([], breaks_after=0, sent=False))
    for _ in range(2):
        answer = await ask(pipeline, prompt("hello"))
        assert (answer.text, answer.receipt.route, answer.receipt.provisional) == ("a b c", "local", True)
        assert answer.receipt.departure is None
        assert "hub-unavailable" in answer.receipt.reasons


@pytest.mark.parametrize("breaks_after", [0, 1])
async def test_a_whole_answer_falls_back_to_the_device_when_the_hub_breaks_off_and_says_what_left(build: Build, breaks_after: int) -> None:
    pipeline = build(FakeEngine(["a"], UNSURE), FakeEscalator(["half", " of it"], breaks_after=breaks_after))
    answer = await ask(pipeline, prompt("hello"))
    assert (answer.text, answer.receipt.route, answer.receipt.provisional) == ("a", "local", True)
    assert answer.receipt.departure == Departure(1, len("hello"))


async def test_a_stream_never_changes_its_route_after_the_first_text(build: Build) -> None:
    pipeline = build(FakeEngine(["local"], UNSURE), FakeEscalator(["half", " of it"], breaks_after=1))
    async with aclosing(pipeline.answer(prompt("hello", stream=True))) as pieces:
        assert await anext(pieces) == Delta("half")
        with pytest.raises(EscalationFailed):
            await anext(pieces)


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


async def test_the_model_is_free_while_the_hub_is_asked(build: Build) -> None:
    engine = FakeEngine(["a", "b", "c", "d"], UNSURE)
    await ask(build(engine, FakeEscalator(["better"])), prompt("hello"))
    assert engine.is_cancelled
    assert engine.given_words == 2


async def test_random_sampling_gives_the_judged_answer_when_the_hub_fails(build: Build) -> None:
    engine = FakeEngine(["a", "b", "c", "d"], UNSURE)
    await ask(build(engine, FakeEscalator([], breaks_after=0)), prompt("hello", sampling=Sampling(temperature=1.0)))
    first, second = engine.seeds
    assert first is not None
    assert first == second


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


class Exchanged:
    """A model that goes away, as agent.inference.current.CurrentModel lets it."""

    def __init__(self, engine: FakeEngine) -> None:
        self.bundle = engine.bundle
        self.model: LocalModel = engine

    @contextmanager
    def held(self) -> Iterator[LocalModel]:
        yield self.model

    def take_away(self) -> None:
        self.model = AwayModel(model_loading(3.0), self.bundle)


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


async def test_an_unsure_answer_is_provisional_and_not_kept_where_the_hub_is_not_known_yet(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, surroundings=Surroundings)
    for _ in range(2):
        answer = await ask(pipeline, prompt("hello"))
        assert (answer.receipt.route, answer.receipt.provisional) == ("local", True)
        assert "hub-unknown" in answer.receipt.reasons
    assert escalator.sent == []


async def test_a_provider_that_is_gone_when_the_hub_is_connected_is_not_sent_the_prompt(build: Build) -> None:
    known = [HERE, replace(HERE, hub=replace(HUB, providers=()))]
    escalator = FakeEscalator(["cloud"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, surroundings=lambda: known.pop(0) if len(known) > 1 else known[0])
    assert (await ask(pipeline, prompt("hello"))).receipt.route == "local"
    assert escalator.sent == []


async def test_the_policy_is_told_by_which_way_a_prompt_came(build: Build) -> None:
    by_mqtt = (
        '@id("by-mqtt") permit (principal, action in [Action::"pass", Action::"escalate"], resource) when { context.intake == "mqtt" };'
    )
    pipeline = build(FakeEngine(["a"], UNSURE), FakeEscalator(["cloud"]), policy=Policy(by_mqtt))
    assert (await ask(pipeline, prompt("hello", intake="http"))).receipt.route == "local"
    assert (await ask(pipeline, prompt("hello", intake="mqtt"))).receipt.route == "escalated"


async def test_where_the_hub_has_disabled_escalation_an_answer_is_not_provisional_for_want_of_a_hub(build: Build) -> None:
    pipeline = build(FakeEngine(["a"], UNSURE), surroundings=Surroundings, narrowing=lambda: Narrowing(escalation_disabled=True))
    assert not (await ask(pipeline, prompt("hello"))).receipt.provisional


async def test_a_policy_that_is_exchanged_while_a_prompt_waits_keeps_it_on_the_device(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])
    chosen = [Chosen(Policy(text), text, "test") for text in ('@id("all") permit (principal, action, resource);', "")]
    policy, seen = PolicyInForce(lambda: chosen.pop(0)), list[str]()

    def surroundings() -> Surroundings:
        """Asked for each time that it is decided: before the model is, and before the prompt leaves."""
        if len(seen) == 1:
            policy.refresh()
        seen.append(policy.digest)
        return HERE

    answer = await ask(build(FakeEngine(["a"], UNSURE), escalator, policy=policy, surroundings=surroundings), prompt("hello"))
    assert (answer.receipt.route, escalator.sent) == ("local", [])
    assert "default-deny" in answer.receipt.reasons


async def test_a_receipt_says_what_it_took_and_by_which_way_the_prompt_came(build: Build) -> None:
    receipt = (await ask(build(FakeEngine(["a"], UNSURE), FakeEscalator(["better"])), prompt("hello", intake="mqtt"))).receipt
    assert (receipt.input_tokens, receipt.output_tokens, receipt.intake) == (5, 7, "mqtt")


MAIL = "Write to ada@example.org about the pump."


def out(region: str = "de-fra") -> dict[str, Any]:
    """A site that may send redacted prompts to the private provider of its region."""
    return {"surroundings": lambda: replace(HERE, region=region, can_redact=True)}


@pytest.mark.parametrize("stream", [False, True])
async def test_personal_data_leaves_redacted_and_comes_back_in_the_answer(build: Build, stream: bool) -> None:
    escalator = FakeEscalator([])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, **out())
    escalator.answer = lambda messages: ["I wrote to ", *messages[-1].content.split()[2], "."]
    answer = await ask(pipeline, prompt(MAIL, stream=stream, conversation="talk"))
    assert answer.text == "I wrote to ada@example.org."
    (sent,) = escalator.sent
    assert sent[0] == Message("system", NOTE)
    assert "ada@" not in sent[1].content
    assert answer.receipt.departure == Departure(2, len(NOTE) + len(sent[1].content), "cloud", "private", "eu", 1)
    assert "confidential-may-leave-redacted" in answer.receipt.reasons


async def test_a_later_turn_of_the_conversation_leaves_under_the_same_placeholder(build: Build) -> None:
    escalator = FakeEscalator(["done"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, **out())
    await ask(pipeline, prompt(MAIL, conversation="talk"))
    await ask(pipeline, prompt("Did ada@example.org answer?", prompt_id="p2", conversation="talk"))
    first, second = escalator.sent
    token = first[1].content.split()[2]
    assert [message.content for message in second[1:]] == [f"Write to {token} about the pump.", "done", f"Did {token} answer?"]


async def test_where_it_cannot_be_redacted_it_stays(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, redactor=Redactor(MemoryVaults(breaks=True)), **out())
    answer = await ask(pipeline, prompt(MAIL, conversation="t"))
    assert (answer.text, answer.receipt.route, answer.receipt.departure) == ("a", "local", None)
    assert "redaction-failed" in answer.receipt.reasons
    assert escalator.sent == []


async def test_to_another_region_it_does_not_leave_though_it_were_redacted(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])
    answer = await ask(build(FakeEngine(["a"], UNSURE), escalator, **out("fr-par")), prompt(MAIL))
    assert answer.receipt.route == "local"
    assert escalator.sent == []


async def test_a_clients_floor_holds_for_its_prompts_alone(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])

    def floors(asked: Prompt) -> tuple[DataClass, ...]:
        return (DataClass.RESTRICTED,) if asked.client == "c1" else ()

    pipeline = build(FakeEngine(["a"], UNSURE), escalator, floors=floors)
    assert (await ask(pipeline, prompt("hello"))).receipt.data_class == "restricted"
    assert (await ask(pipeline, prompt("hello", client="c2", prompt_id="p2"))).receipt.data_class == "public"
    assert len(escalator.sent) == 1


async def test_an_answer_that_the_rules_withhold_is_not_shown_and_the_local_one_is_provisional(build: Build) -> None:
    escalator = FakeEscalator(["about Project", " Heron, of course"])
    rules = build_rules(lambda _: False, ["Project Heron"])
    answer = await ask(build(FakeEngine(["a"], UNSURE), escalator, rules=rules), prompt("hello"))
    assert (answer.text, answer.receipt.route, answer.receipt.provisional) == ("a", "local", True)
    assert "output-denied" in answer.receipt.reasons
    assert answer.receipt.departure == Departure(1, 5)


async def test_an_answer_that_the_rules_note_is_shown_and_not_kept(build: Build) -> None:
    escalator = FakeEscalator(["SPDX-License-Identifier: MIT"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, rules=build_rules(lambda _: False))
    for number in range(2):
        answer = await ask(pipeline, prompt("hello", prompt_id=f"p{number}"))
        assert (answer.receipt.route, "output-licence" in answer.receipt.reasons) == ("escalated", True)
