"""What noise costs is measured with the noise that rounds bear."""

from dataclasses import replace
from fractions import Fraction
from random import Random

import pytest

from benchmarks.calibration_noise import COUNTED, LESS, fleet_of, noise_cost
from benchmarks.calibration_rounds import noisy_sum, plain_sum, shipped_noise
from contract.calibration.sums import NORM
from contract.learning import NOISE_MULTIPLIER


def test_the_noise_is_of_four_norms_borne_by_the_fewest_honest() -> None:
    noise = shipped_noise(20)
    assert (noise.norm, noise.variance, noise.fewest_honest) == (NORM, Fraction(NOISE_MULTIPLIER * NORM) ** 2, 8)
    found = noisy_sum([[0] * 500] * 20, noise, Random(1).getrandbits)
    assert found.variance == pytest.approx((NOISE_MULTIPLIER * NORM) ** 2 * 20 / 8)
    assert sum(value * value for value in found.values) / 500 == pytest.approx(found.variance, rel=0.3)


def test_without_noise_no_probability_moves_and_with_it_some_do() -> None:
    fleet = fleet_of(20)
    [vectors] = fleet.cohorts
    assert fleet.moved([vectors], [plain_sum(vectors, fleet.in_force)]) == 0
    little = replace(shipped_noise(20), variance=Fraction(NORM) ** 2)
    moved = fleet.moved([vectors], [noisy_sum(vectors, little, Random(2).getrandbits)])
    assert moved is not None
    assert 0 < moved < 0.13


def test_a_small_fleet_fits_nothing_in_a_window_under_the_noise_that_rounds_bear() -> None:
    cost = noise_cost(20, draws=3, most=1)
    assert cost["1"] is None
    assert cost[LESS] is not None
    assert (cost[COUNTED] or 0) < 0.5
