"""The figure that decides whether a local answer is trusted."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.confidence import confidence


def test_it_is_the_geometric_mean_of_the_probabilities() -> None:
    assert confidence([math.log(0.5), math.log(0.5)]) == pytest.approx(0.5)
    assert confidence([math.log(0.9), math.log(0.4), math.log(0.1)]) == pytest.approx((0.9 * 0.4 * 0.1) ** (1 / 3))


@pytest.mark.parametrize("logprobs", [[], [math.nan], [0.0, math.nan], [-math.inf, 0.0], [math.inf, -math.inf]])
def test_of_an_answer_of_which_nothing_is_known_nothing_is_trusted(logprobs: list[float]) -> None:
    assert confidence(logprobs) == 0.0


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True)))
def test_it_lies_between_0_and_1_whatever_the_model_says(logprobs: list[float]) -> None:
    assert 0.0 <= confidence(logprobs) <= 1.0


@given(st.lists(st.floats(-50, 0), min_size=1), st.integers(0, 1000), st.floats(0, 10))
def test_a_less_likely_token_never_raises_it(logprobs: list[float], place: int, less: float) -> None:
    worse = list(logprobs)
    worse[place % len(worse)] -= less
    assert confidence(worse) <= confidence(logprobs) + 1e-12
