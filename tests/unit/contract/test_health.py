"""The test that a bundle brings, and how figures are held to limits."""

import json
import math
from typing import Any

import pytest

from contract import health
from contract.errors import InvalidRequest, Reason
from contract.health import Golden, HealthTest, Turn, first_failed, rise, tightened

TEST = HealthTest(
    golden=(
        Golden((Turn("user", "What is 2+2?"),), any_of=("four",), patterns=(r"\b4\b",)),
        Golden((Turn("system", "Be short."), Turn("user", "Capital of Peru?")), any_of=("Lima",), max_tokens=8),
    ),
    text="A short text.",
    limits={health.PERPLEXITY: 40.0, health.GOLDEN_SHARE: 0.5},
)


def changed(**fields: Any) -> bytes:
    return json.dumps({"format_version": 1, **fields}).encode()


def golden(**fields: Any) -> bytes:
    return changed(golden=[{"prompt": "What?", "any_of": ["that"], **fields}])


def test_what_is_written_is_read_again() -> None:
    assert HealthTest.from_json(TEST.to_json()) == TEST


def test_everything_may_be_left_out() -> None:
    test = HealthTest.from_json(changed())
    assert (test.golden, test.text, test.limits) == ((), health.TEXT, {})


@pytest.mark.parametrize(
    ("answer", "passes"),
    [("It is FOUR.", True), ("2+2 = 4.", True), ("It is 44.", False), ("", False)],
)
def test_an_answer_is_right_if_it_holds_one_of_the_texts_or_matches_a_pattern(answer: str, passes: bool) -> None:
    assert TEST.golden[0].passes(answer) is passes


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format_version": 2}',
        b"[" * 100_000,
        changed(golden=[{}]),
        changed(golden=[{"prompt": "What?"}] * 2),
        changed(golden=[{"prompt": "What?", "messages": [], "any_of": ["a"]}]),
        changed(golden=[{"messages": [{"role": "assistant", "content": "a"}], "any_of": ["a"]}]),
        changed(golden=[{"messages": [], "any_of": ["a"]}]),
        changed(golden=[{"prompt": "What?", "any_of": ["a"]}] * 33),
        golden(any_of="text"),
        golden(any_of=[""]),
        golden(any_of=["a"] * 17),
        golden(more=1),
        golden(max_tokens=True),
        golden(max_tokens=100_000),
        golden(patterns=["("]),
        golden(patterns=["a" * 101]),
        changed(text=""),
        changed(text="a" * 10_000),
        changed(limits={"perplexity": "1"}),
        changed(limits={"perplexity": -1}),
        changed(limits={"perplexity": math.nan}),
        changed(limits={"error_share": 1}),
        changed(surprise=1),
        changed(text="ä" * 8000, golden=[{"prompt": "x" * 8000, "any_of": ["a"]}] * 20),
    ],
)
def test_what_cannot_be_a_test_is_refused_with_a_reason(text: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        HealthTest.from_json(text)
    assert refused.value.reason is Reason.BUNDLE_INVALID
    assert len(refused.value.message) < 500


@pytest.mark.parametrize("pattern", ["a*", "a+", "a?", "a{9}", "(a|a)+", r"\\+"])
def test_a_pattern_that_repeats_could_match_for_ever_and_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidRequest):
        HealthTest.from_json(golden(patterns=[pattern]))


@pytest.mark.parametrize("pattern", [r"\+", r"\b4\b", "[0-9]", "4|four", r"what\?"])
def test_other_patterns_are_taken(pattern: str) -> None:
    assert HealthTest.from_json(golden(patterns=[pattern])).golden[0].patterns == (pattern,)


@pytest.mark.parametrize("name", health.FIGURES)
def test_a_figure_fails_on_the_wrong_side_of_its_limit_alone(name: str) -> None:
    better, worse = (1.1, 0.9) if name in health.AT_LEAST else (0.9, 1.1)
    assert first_failed({name: worse}, {name: 1.0}) == name
    assert first_failed({name: better}, {name: 1.0}) == first_failed({name: 1.0}, {name: 1.0}) == ""
    assert f"{name} is " in health.beyond(name, {name: worse}, {name: 1.0})


@pytest.mark.parametrize("figure", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_fails_without_a_limit_too(figure: float) -> None:
    assert first_failed({health.PERPLEXITY: figure}, {}) == health.PERPLEXITY
    assert "no number" in health.beyond(health.PERPLEXITY, {health.PERPLEXITY: figure}, {})


def test_a_limit_that_is_no_number_lets_nothing_pass() -> None:
    assert first_failed({health.PERPLEXITY: 1.0}, {health.PERPLEXITY: math.nan}) == health.PERPLEXITY


def test_what_was_not_measured_is_not_judged() -> None:
    assert first_failed({}, {health.TEMPERATURE_CELSIUS: 80.0}) == ""


def test_of_two_limits_the_tighter_one_holds() -> None:
    bundle = {health.PERPLEXITY: 40.0, health.TOKENS_PER_SECOND: 2.0}
    rollout = {health.PERPLEXITY: 50.0, health.TOKENS_PER_SECOND: 5.0, health.SPEED_RATIO: 0.5}
    expected = {health.PERPLEXITY: 40.0, health.TOKENS_PER_SECOND: 5.0, health.SPEED_RATIO: 0.5}
    assert tightened(bundle, rollout) == tightened(rollout, bundle) == expected


def test_a_rise_is_told_with_what_chance_explains_of_it() -> None:
    found = rise(20, 100, 8, 20)
    assert found is not None
    assert found[0] == pytest.approx(0.2)
    assert found[1] == pytest.approx(1.645 * math.sqrt(28 / 120 * 92 / 120 * (1 / 100 + 1 / 20)))
    more = rise(2000, 10_000, 800, 2000)
    assert more is not None
    assert more[1] < found[1], "the more was seen, the less is left to chance"


def test_without_anything_counted_nothing_can_be_compared() -> None:
    assert rise(0, 0, 1, 2) is rise(1, 2, 0, 0) is None
