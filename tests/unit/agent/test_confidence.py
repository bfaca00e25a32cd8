"""The figure that decides whether a local answer is trusted."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.confidence import ConfidenceSettings, confidence
from contract.calibration.maps import CONFIDENCE, NO_CALIBRATIONS, SIMILARITY, Calibrations, Fitted, Map


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


FITTED = Calibrations((Fitted(CONFIDENCE, "sha256:a", Map(0.7, -0.8), 900), Fitted(SIMILARITY, "sha256:b", Map(2.0, 1.0), 900)))


def test_the_bar_of_a_calibrated_model_is_a_probability() -> None:
    settings = ConfidenceSettings(bar=0.5, calibrated_bar=0.4)
    assert Map(0.7, -0.8).probability(settings.bar_for("sha256:a", FITTED)) == pytest.approx(0.4)
    assert settings.bar_for("sha256:a", FITTED) != settings.bar


@pytest.mark.parametrize(
    ("settings", "digest", "calibrations"),
    [
        (ConfidenceSettings(bar=0.6), "sha256:a", FITTED),
        (ConfidenceSettings(bar=0.6, calibrated_bar=0.4), "sha256:a", NO_CALIBRATIONS),
        (ConfidenceSettings(bar=0.6, calibrated_bar=0.4), "sha256:b", FITTED),
    ],
    ids=["the site has named no bar for probabilities", "nothing was signed", "another model"],
)
def test_else_the_bar_stays_what_it_is(settings: ConfidenceSettings, digest: str, calibrations: Calibrations) -> None:
    assert settings.bar_for(digest, calibrations) == 0.6


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_higher_probability_is_never_asked_for_by_a_lower_bar(one: float, other: float) -> None:
    low, high = (ConfidenceSettings(calibrated_bar=bar).bar_for("sha256:a", FITTED) for bar in sorted((one, other)))
    assert low <= high
