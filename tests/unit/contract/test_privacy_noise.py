"""Noise: of exactly the distribution that it should have, with clipping that holds, and sums that cannot overflow."""

from collections import Counter
from fractions import Fraction
from math import exp, fsum
from random import Random

import pytest

from contract.errors import InvalidRequest, Reason
from contract.privacy_noise import (
    LEAST_VARIANCE,
    MOST_SUM,
    Noise,
    below,
    clipped,
    discrete_gaussian,
    discrete_laplace,
    happens_exp,
    to_fixed,
)
from contract.secagg.masks import VectorSum, from_vector, signed

DRAWS = 20_000

CHI_SQUARE_OF_ONE_IN_A_MILLION = {3: 30.7, 4: 33.4, 8: 42.7, 20: 66.4, 40: 98.0}
"""What a good sampler exceeds once in about a million tries, by degrees of freedom at most; rounded up."""


def chi_square(counts: Counter[int], weight: dict[int, float]) -> tuple[float, int]:
    """The statistic over all values that are expected five times at least, the rest as one, and how many degrees of freedom it has."""
    total, draws = fsum(weight.values()), counts.total()
    expected = {value: draws * one / total for value, one in weight.items() if draws * one / total >= 5}
    rest = draws - fsum(expected.values())
    statistic = fsum((counts[value] - mean) ** 2 / mean for value, mean in expected.items())
    others = draws - sum(counts[value] for value in expected)
    if rest >= 1:
        statistic += (others - rest) ** 2 / rest
    return statistic, len(expected)


def fits(counts: Counter[int], weight: dict[int, float]) -> bool:
    statistic, freedom = chi_square(counts, weight)
    return statistic < next(limit for most, limit in CHI_SQUARE_OF_ONE_IN_A_MILLION.items() if freedom <= most)


@pytest.mark.parametrize("variance", [Fraction(1, 4), Fraction(2, 3), Fraction(3), Fraction(25)], ids=str)
def test_the_sampler_draws_from_the_discrete_gaussian(variance: Fraction) -> None:
    random = Random(7)
    counts = Counter(discrete_gaussian(variance, random.getrandbits) for _ in range(DRAWS))
    assert fits(counts, {value: exp(-value * value / (2 * float(variance))) for value in range(-60, 61)})


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_the_sampler_draws_from_the_discrete_laplace(scale: int) -> None:
    random = Random(8)
    counts = Counter(discrete_laplace(scale, random.getrandbits) for _ in range(DRAWS))
    assert fits(counts, {value: exp(-abs(value) / scale) for value in range(-90, 91)})


def test_the_test_of_the_distribution_finds_a_wrong_one() -> None:
    random = Random(7)
    counts = Counter(discrete_gaussian(Fraction(3), random.getrandbits) for _ in range(DRAWS))
    assert not fits(counts, {value: exp(-value * value / (2 * 3.3)) for value in range(-60, 61)})


@pytest.mark.parametrize("variance", [Fraction(25), Fraction(10**6, 7), Fraction(2**60)], ids=str)
def test_the_variance_is_the_one_that_was_asked_for(variance: Fraction) -> None:
    random = Random(9)
    drawn = [discrete_gaussian(variance, random.getrandbits) for _ in range(DRAWS)]
    assert sum(value * value for value in drawn) / DRAWS == pytest.approx(float(variance), rel=0.06)
    assert abs(sum(drawn) / DRAWS) < 5 * (float(variance) / DRAWS) ** 0.5


@pytest.mark.parametrize(("top", "bottom"), [(0, 1), (1, 3), (1, 1), (7, 3)])
def test_a_chance_of_a_power_of_e_is_that(top: int, bottom: int) -> None:
    random = Random(10)
    share = sum(happens_exp(top, bottom, random.getrandbits) for _ in range(DRAWS)) / DRAWS
    assert share == pytest.approx(exp(-top / bottom), abs=5 * 0.5 / DRAWS**0.5)


def test_each_number_below_a_bound_is_as_likely() -> None:
    random = Random(11)
    assert fits(Counter(below(5, random.getrandbits) for _ in range(DRAWS)), dict.fromkeys(range(5), 1.0))
    assert below(1, random.getrandbits) == 0


@pytest.mark.parametrize("values", [[3, 4], [-3, 4], [0, 0], [10**9, -(10**9)], [2**70], [1, 1, 1, 1]])
def test_a_clipped_vector_is_no_longer_than_its_norm_and_has_the_same_direction(values: list[int]) -> None:
    for norm in (1, 4, 5, 1000):
        found = clipped(values, norm)
        assert sum(value * value for value in found) <= norm * norm
        assert all(new * old >= 0 and abs(new) <= abs(old) for new, old in zip(found, values, strict=True))
        if sum(value * value for value in values) <= norm * norm:
            assert found == values


def test_numbers_become_whole_ones_of_a_scale() -> None:
    assert to_fixed([1, Fraction(1, 3), Fraction(-3, 2)], 8) == [256, 85, -384]


def test_the_largest_contributions_of_64_devices_do_not_overflow() -> None:
    noise = Noise(MOST_SUM // 64, Fraction(2**100), 22)
    for largest in (2**63, -(2**63)):
        random, total = Random(12), VectorSum(2)
        for _ in range(64):
            total.add(noise.contribution([largest, 0], random.getrandbits))
        sums = signed(from_vector(total.total()))
        assert abs(sums[0] - (MOST_SUM if largest > 0 else -MOST_SUM)) < 2**58
        assert abs(sums[1]) < 2**58


@pytest.mark.parametrize(
    ("norm", "variance", "honest"),
    [(0, Fraction(9), 1), (1, Fraction(9), 0), (1, Fraction(9), 37), (MOST_SUM // 64 + 1, Fraction(9), 1), (1, Fraction(2**116), 1)],
)
def test_noise_that_hides_nothing_or_could_overflow_is_refused(norm: int, variance: Fraction, honest: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Noise(norm, variance, honest)
    assert caught.value.reason is Reason.CONTRIBUTION_INVALID


def test_the_fewest_honest_devices_bear_the_whole_noise() -> None:
    noise = Noise(100, Fraction(50), 22)
    assert noise.variance_each * 22 == 50
    assert noise.variance_each >= LEAST_VARIANCE


def test_a_contribution_is_the_clipped_vector_and_noise() -> None:
    noise, random = Noise(5, Fraction(10**6), 4), Random(13)
    drawn = [signed(from_vector(noise.contribution([300, 400], random.getrandbits))) for _ in range(2000)]
    for place, mean in enumerate((3, 4)):
        column = [values[place] for values in drawn]
        assert sum(column) / 2000 == pytest.approx(mean, abs=5 * (250_000 / 2000) ** 0.5)
        assert sum(value * value for value in column) / 2000 == pytest.approx(250_000, rel=0.2)
