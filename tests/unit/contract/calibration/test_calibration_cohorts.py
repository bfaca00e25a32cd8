"""Sums that no honest cohort comes to, or that no other cohort agrees with, are discarded; the rest is added up."""

from random import Random

import pytest

from benchmarks.calibration_fleet import made_up_fleet
from contract.calibration.cohorts import CohortSum, flaw, merge
from contract.calibration.maps import CONFIDENCE, Map
from contract.calibration.sums import ANSWER_UNITS, MOST_ANSWERS, RANGE_UNITS, SURPRISE_NORM, entries, tally
from contract.secagg.masks import from_vector, to_vector

SIZE = 20
NEAR = Map(0.74, -0.69)
"""What answers are held against: about as good as the made-up fleet's are."""


def vectors(seed: int, size: int = SIZE) -> list[list[int]]:
    random = Random(seed)
    return [tally(CONFIDENCE, NEAR, site.window(random)) for site in made_up_fleet(size, random)]


def added(parts: list[list[int]], variance: float = 0.0, seed: int = 0) -> CohortSum:
    random = Random(seed)
    values = tuple(sum(column) + round(random.gauss(0, variance**0.5)) for column in zip(*parts, strict=True))
    return CohortSum(len(parts), values, variance)


def with_one_changed(entry: int, value: int, seed: int = 1) -> CohortSum:
    parts = vectors(seed)
    parts[4][entry] = value
    return added(parts)


def with_one_at_the_bound(seed: int) -> CohortSum:
    """One device says as much as all twenty may together."""
    parts = vectors(seed)
    parts[0][0] = -SIZE * SURPRISE_NORM - sum(part[0] for part in parts[1:])
    parts[0][1] = -sum(part[1] for part in parts[1:])
    return added(parts)


TOO_LONG = 2 * SIZE * SURPRISE_NORM

BROKEN = {
    "a surprise of twice what all may say": (with_one_changed(0, TOO_LONG), "longer"),
    "the same downwards": (with_one_changed(0, -TOO_LONG), "longer"),
    "the same by place": (with_one_changed(1, TOO_LONG), "longer"),
    "the greatest number": (with_one_changed(0, 2**63 - 1), "longer"),
    "fewer answers than none": (with_one_changed(2, -SIZE * MOST_ANSWERS * ANSWER_UNITS), "below nothing"),
    "a negative count": (with_one_changed(3, -SIZE * MOST_ANSWERS * ANSWER_UNITS), "below nothing"),
    "more answers than all may count": (with_one_changed(2, SIZE * MOST_ANSWERS * ANSWER_UNITS), "more answers"),
    "ranges that hold more answers than there are": (with_one_changed(9, 5000), "another number"),
    "surprise of no answers": (CohortSum(SIZE, (SURPRISE_NORM, 0, 0, *[0] * CONFIDENCE.ranges)), "more surprise"),
    "surprise by place of answers that have none": (
        CohortSum(SIZE, (0, 5000, 10 * ANSWER_UNITS, *[0] * 7, 10 * RANGE_UNITS, *[0] * 7)),
        "more surprise",
    ),
    "nobody's": (CohortSum(0, (0,) * entries(CONFIDENCE)), "0 devices"),
    "another length": (CohortSum(SIZE, (0,) * 5), "5 entries"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_modified_client_that_breaks_a_bound_makes_its_cohorts_sum_go(name: str) -> None:
    broken, why = BROKEN[name]
    assert why in flaw(CONFIDENCE, broken)
    honest = [added(vectors(seed)) for seed in range(10, 14)]
    merged = merge(CONFIDENCE, [*honest[:2], broken, *honest[2:]])
    assert merged.discarded == {2: flaw(CONFIDENCE, broken)}
    assert merged.total == merge(CONFIDENCE, honest).total


def test_honest_cohorts_are_added_up() -> None:
    cohorts = [added(vectors(seed)) for seed in range(16)]
    merged = merge(CONFIDENCE, cohorts)
    assert merged.discarded == {}
    assert merged.total is not None
    assert merged.total.values == tuple(sum(column) for column in zip(*(cohort.values for cohort in cohorts), strict=True))
    assert merged.total.devices == 16 * SIZE


def test_a_cohort_that_stays_within_its_bounds_and_says_something_else_than_the_others_goes() -> None:
    cohorts = [added(vectors(seed)) for seed in range(8)]
    cohorts[3] = with_one_at_the_bound(99)
    assert flaw(CONFIDENCE, cohorts[3]) == ""
    assert "far from" in merge(CONFIDENCE, cohorts).discarded[3]
    assert set(merge(CONFIDENCE, cohorts).discarded) == {3}


def test_of_two_cohorts_that_contradict_each_other_neither_counts() -> None:
    merged = merge(CONFIDENCE, [added(vectors(1)), with_one_at_the_bound(99)])
    assert set(merged.discarded) == {0, 1}
    assert merged.total is None


def test_noise_as_large_as_was_announced_discards_nothing_and_the_noise_adds_up() -> None:
    variance = 2000.0**2
    cohorts = [added([part for seed in range(3) for part in vectors(3 * number + seed)], variance, number) for number in range(16)]
    merged = merge(CONFIDENCE, cohorts)
    assert merged.discarded == {}
    assert merged.total is not None
    assert merged.total.variance == 16 * variance


def test_a_cohort_of_whose_answers_nothing_is_left_but_noise_is_no_evidence() -> None:
    variance = 40_000.0**2
    thin = [added(vectors(1), variance, number) for number in range(3)]
    assert all("noise" in why for why in merge(CONFIDENCE, thin).discarded.values())
    assert merge(CONFIDENCE, thin).total is None
    assert "no more answers" in merge(CONFIDENCE, [CohortSum(SIZE, (0,) * entries(CONFIDENCE))]).discarded[0]


def test_sums_are_taken_as_the_secure_sum_gives_them() -> None:
    sums = added(vectors(5))
    assert CohortSum(SIZE, from_vector(to_vector(sums.values))) == sums


def test_of_no_cohorts_there_is_no_sum() -> None:
    assert merge(CONFIDENCE, []).total is None
