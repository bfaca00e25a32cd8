"""What is measured of a model, with one that answers what it is told to."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.inference.current import CurrentModel, Tried
from agent.inference.scoring import Scored
from agent.inference.session import ModelFailed
from agent.update.health_gate import HealthGate, limits_of, read_health
from contract import health
from contract.errors import InvalidRequest, Reason
from contract.health import HEALTH_FILE, Golden, HealthTest, Turn
from tests.fakes.engine import FakeEngine

PARIS = Golden((Turn("user", "Capital of France?"),), any_of=("paris",))
LIMA = Golden((Turn("user", "Capital of Peru?"),), any_of=("lima",))


class Closable(FakeEngine):
    async def close(self) -> None:
        """Nothing is to be closed."""


def gate(step_seconds: float = 0.1, resident_bytes: int = 0, celsius: float | None = None) -> HealthGate:
    """With a clock that goes on by so much whenever somebody looks at it."""
    ticks = itertools.count()
    return HealthGate(lambda: next(ticks) * step_seconds, lambda: resident_bytes, lambda: celsius)


def tried(words: Sequence[str] = ("It ", "is ", "Paris", "!"), probability: float = 0.5, before_bytes: int = 0) -> Tried:
    return Tried(Closable(words, probability), True, before_bytes)


async def current(engine: Closable) -> CurrentModel:
    models = CurrentModel(lambda _: engine, lambda _: True)
    await models.exchange(Path("any"))
    return models


async def test_perplexity_and_speed_are_measured_and_compared() -> None:
    measured = gate()
    base = await measured.base(await current(Closable(["a"] * 9, 0.8)), "some text")
    assert base is not None
    figures = await measured.measure(tried(), HealthTest(), base)
    assert figures[health.PERPLEXITY] == pytest.approx(2)
    assert figures[health.PERPLEXITY_RATIO] == pytest.approx(1.6)
    assert figures[health.TOKENS_PER_SECOND] == pytest.approx(10)
    assert figures[health.SPEED_RATIO] == pytest.approx(1)
    assert health.GOLDEN_SHARE not in figures


async def test_without_a_model_that_serves_there_is_nothing_to_compare_with() -> None:
    measured = gate()
    assert await measured.base(CurrentModel(lambda _: Closable([], 0.5), lambda _: True), "some text") is None
    figures = await measured.measure(tried(), HealthTest(), None)
    assert not {health.PERPLEXITY_RATIO, health.SPEED_RATIO} & set(figures)


async def test_golden_prompts_are_asked_and_an_answer_is_read_no_further_than_to_what_is_right() -> None:
    model = Closable(("It ", "is ", "Paris", " and ", "more"), 0.5)
    figures = await gate().measure(Tried(model, True, 0), HealthTest(golden=(PARIS, LIMA)), None)
    assert figures[health.GOLDEN_SHARE] == 0.5
    assert [asked[0].content for asked in model.asked[:2]] == ["Capital of France?", "Capital of Peru?"]
    assert model.is_cancelled


async def test_a_model_of_impossible_probabilities_fails_by_its_perplexity() -> None:
    class Broken(Closable):
        async def score(self, text: str, *, priority: int = 0) -> Scored:
            return Scored((float("-inf"),))

    figures = await gate().measure(Tried(Broken(["a"], 0.5), True, 0), HealthTest(), None)
    assert health.first_failed(figures, {}) == health.PERPLEXITY


async def test_a_model_that_says_a_single_word_has_no_speed() -> None:
    figures = await gate().measure(tried(words=["one"]), HealthTest(), None)
    assert figures[health.TOKENS_PER_SECOND] == 0


async def test_memory_is_what_was_taken_beside_the_weights_and_a_thermometer_need_not_be_there() -> None:
    figures = await gate(resident_bytes=700).measure(tried(before_bytes=200), HealthTest(), None)
    assert figures[health.RESIDENT_BYTES] == 500
    assert health.TEMPERATURE_CELSIUS not in figures
    warm = await gate(celsius=71.5).measure(tried(before_bytes=200), HealthTest(), None)
    assert (warm[health.RESIDENT_BYTES], warm[health.TEMPERATURE_CELSIUS]) == (0, 71.5)


async def test_a_model_that_cannot_be_run_says_so() -> None:
    model = Closable(["a"], 0.5, ModelFailed(Reason.INTERNAL, "It failed."))
    with pytest.raises(ModelFailed):
        await gate().measure(Tried(model, True, 0), HealthTest(golden=(PARIS,)), None)


def test_a_bundle_without_a_test_gets_the_built_in_one(tmp_path: Path) -> None:
    assert read_health(tmp_path) == HealthTest()
    test = HealthTest(golden=(PARIS,), limits={health.PERPLEXITY: 20.0})
    (tmp_path / HEALTH_FILE).write_bytes(test.to_json())
    assert read_health(tmp_path) == test
    assert limits_of(test, {health.PERPLEXITY: 30.0, health.SPEED_RATIO: 0.5}) == {health.PERPLEXITY: 20.0, health.SPEED_RATIO: 0.5}


@pytest.mark.parametrize("content", [b"{", b"x" * 70_000])
def test_a_test_that_cannot_be_read_is_no_pass(tmp_path: Path, content: bytes) -> None:
    (tmp_path / HEALTH_FILE).write_bytes(content)
    with pytest.raises(InvalidRequest):
        read_health(tmp_path)
