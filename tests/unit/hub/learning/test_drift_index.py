"""How far prompts have drifted, by the sums of two weeks."""

from collections.abc import Sequence
from math import log, sqrt
from random import Random
from statistics import fmean, stdev

import pytest

from contract.drift import BUCKETS, DIRECTIONS
from hub.learning.drift import FEWEST_DEVIATIONS, FEWEST_PROMPTS, Drift, Week, drift

EVEN = (0.5, 0.5)
ASIDE = (0.47, 0.53)
DRAWN = 600


def week(shares: Sequence[float], prompts: int, deviation: float = 0.0, random: Random | None = None) -> Week:
    """Draws prompts and noise, where there is something to draw with."""
    sums = {}
    for direction in range(DIRECTIONS):
        drawn = random.choices(range(BUCKETS), shares, k=prompts) if random else []
        for bucket in range(BUCKETS):
            noise = round(random.gauss(0, deviation)) if random else 0
            sums[f"drift.{direction}.{bucket}"] = noise + (drawn.count(bucket) if random else round(shares[bucket] * prompts))
    return Week(sums, deviation)


def held(now: Week, before: Week) -> Drift:
    found = drift(now, before)
    assert found is not None
    return found


def test_the_index_is_the_population_stability_index_where_shares_differ_a_little() -> None:
    exact = sum((one - other) * log(one / other) for one, other in zip(ASIDE, EVEN, strict=True))
    found = held(week(ASIDE, 10**9), week(EVEN, 10**9))
    assert found.together.index == pytest.approx(exact, rel=0.01)
    assert all(shift.index == pytest.approx(found.together.index) for shift in found.directions)


@pytest.mark.parametrize(("prompts", "deviation"), [(200, 0.0), (200, 20.0)])
def test_where_nothing_has_moved_the_index_is_nothing_on_average_and_varies_as_is_said(prompts: int, deviation: float) -> None:
    random = Random(1)
    found = [held(week(EVEN, prompts, deviation, random), week(EVEN, prompts, deviation, random)) for _ in range(DRAWN)]
    said = fmean(one.together.standard_deviation for one in found)
    assert abs(fmean(one.together.index for one in found)) < 4 * said / sqrt(DRAWN)
    assert said == pytest.approx(stdev(one.together.index for one in found), rel=0.15)
    alarms = sum(one.together.index >= 2 * one.together.standard_deviation for one in found)
    assert alarms < 0.08 * DRAWN


def test_what_has_moved_is_beyond_the_noise_and_all_directions_together_say_it_best() -> None:
    random = Random(2)
    found = held(week((0.3, 0.7), 2000, 100.0, random), week((0.7, 0.3), 2000, 100.0, random))
    assert found.together.index > 4 * found.together.standard_deviation
    assert found.together.standard_deviation == pytest.approx(found.directions[0].standard_deviation / sqrt(DIRECTIONS))


@pytest.mark.parametrize(
    ("few", "other"),
    [
        (week(EVEN, 0), week(EVEN, 1000)),
        (week(EVEN, FEWEST_PROMPTS - 2), week(EVEN, 1000)),
        (week(EVEN, 1000), week(EVEN, 1000, 1000 / FEWEST_DEVIATIONS + 1)),
        (week((-0.5, -0.5), 1000), week(EVEN, 1000)),
    ],
)
def test_where_too_few_prompts_were_seen_in_a_week_nothing_is_said(few: Week, other: Week) -> None:
    assert drift(few, other) is None
    assert drift(other, few) is None


def test_counts_that_noise_has_brought_below_nothing_can_be_held_against_others() -> None:
    found = held(week((-0.05, 1.05), 1000, 10.0), week(EVEN, 1000, 10.0))
    assert found.together.index > 2 * found.together.standard_deviation
