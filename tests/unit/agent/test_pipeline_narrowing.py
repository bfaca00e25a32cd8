"""What the hub may take away on the path of a prompt."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from agent.confidence import ConfidenceSettings
from agent.inference.engine import Finished, Piece
from agent.narrowing import Narrowing
from agent.prompts import Sampling
from contract.calibration.maps import CONFIDENCE, NO_CALIBRATIONS, Calibrations, Fitted, Map
from contract.classification import DataClass
from contract.surroundings import Surroundings
from tests.fakes.engine import BUNDLE, FakeEngine
from tests.fakes.escalator import FakeEscalator
from tests.fakes.pipelines import SURE, UNSURE, Build, ask, prompt


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


async def test_where_the_hub_has_disabled_escalation_an_answer_is_not_provisional_for_want_of_a_hub(build: Build) -> None:
    pipeline = build(FakeEngine(["a"], UNSURE), surroundings=Surroundings, narrowing=lambda: Narrowing(escalation_disabled=True))
    assert not (await ask(pipeline, prompt("hello"))).receipt.provisional


async def test_with_a_calibration_of_the_model_an_answer_is_held_to_the_probability_that_it_is_good(build: Build) -> None:
    settings, calibrations = ConfidenceSettings(bar=0.5, held_tokens=2, calibrated_bar=0.4), [NO_CALIBRATIONS]
    pipeline = build(FakeEngine(["a"], 0.6), FakeEscalator(["cloud"]), confidence=settings, calibrations=lambda: calibrations[0])
    assert (await ask(pipeline, prompt("hello"))).text == "a"
    calibrations[0] = Calibrations((Fitted(CONFIDENCE, BUNDLE.digest(), Map(1.0, -1.0), 900),))
    answer = await ask(pipeline, prompt("another", prompt_id="p2"))
    assert (answer.text, answer.receipt.route) == ("cloud", "escalated")
    assert answer.receipt.confidence == pytest.approx(0.6)
    calibrations[0] = Calibrations((Fitted(CONFIDENCE, "sha256:another", Map(1.0, -1.0), 900),))
    assert (await ask(pipeline, prompt("a third", prompt_id="p3"))).text == "a"


async def test_a_bar_that_the_hub_has_lowered_holds_under_a_calibration_too(build: Build) -> None:
    settings = ConfidenceSettings(bar=0.5, held_tokens=2, calibrated_bar=0.9)
    fitted = Calibrations((Fitted(CONFIDENCE, BUNDLE.digest(), Map(1.0, -1.0), 900),))
    parts: dict[str, Any] = {"confidence": settings, "calibrations": lambda: fitted, "narrowing": lambda: Narrowing(bar=0.05)}
    answer = await ask(build(FakeEngine(["a"], UNSURE), FakeEscalator(["cloud"]), **parts), prompt("hello"))
    assert answer.receipt.route == "local"
