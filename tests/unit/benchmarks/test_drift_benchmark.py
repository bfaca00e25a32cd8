"""What the benchmark of drift says is what the report would find."""

import numpy as np
import pytest

from benchmarks.drift import DEVIATIONS, Shape, chance_of_seeing, noncentrality, topics, whole_change
from contract.drift import BUCKETS, DIRECTIONS
from contract.learning import NOISE_MULTIPLIER
from contract.subjects import USAGE
from hub.learning.drift import Week, drift

SHIPPED = Shape(DIRECTIONS, BUCKETS)
DRAWN = 2000


def drawn(random: np.random.Generator, prompts: int, share: float, deviation: float) -> Week:
    """Returns a week in which so large a share of the prompts lies in one of two halves, in each direction."""
    first = random.binomial(prompts, share, DIRECTIONS)
    noise = random.normal(0.0, deviation, (DIRECTIONS, BUCKETS))
    halves = np.stack([first, prompts - first], axis=1) + noise
    cells = {
        f"drift.{direction}.{bucket}": round(halves[direction, bucket]) for direction in range(DIRECTIONS) for bucket in range(BUCKETS)
    }
    return Week(cells, deviation)


def seen_share(devices: int, answers: int, index: float, has_noise: bool) -> float:
    """Returns in which share of weeks the hub's report would call a change more than noise: of such an index in each direction."""
    random, aside = np.random.default_rng(1), index**0.5 / 4
    prompts = devices * answers
    deviation = SHIPPED.count_deviation * (devices / 64) ** 0.5 if has_noise else 0.0
    seen = 0
    for _ in range(DRAWN):
        found = drift(drawn(random, prompts, 0.5 + aside, deviation), drawn(random, prompts, 0.5 - aside, deviation))
        seen += found is not None and found.together.index >= DEVIATIONS * found.together.standard_deviation
    return seen / DRAWN


@pytest.mark.parametrize("has_noise", [False, True])
def test_the_deviation_is_what_the_report_says_of_a_fleet_in_which_nothing_changes(has_noise: bool) -> None:
    devices, answers = 6400, 1000
    deviation = SHIPPED.count_deviation * 10 if has_noise else 0.0
    cells = {f"drift.{direction}.{bucket}": devices * answers // BUCKETS for direction in range(DIRECTIONS) for bucket in range(BUCKETS)}
    found = drift(Week(cells, deviation), Week(cells, deviation))
    assert found is not None
    assert SHIPPED.index_deviation(devices, answers, has_noise) == pytest.approx(found.together.standard_deviation, rel=0.01)


def test_a_count_has_four_norms_of_noise_by_the_fewest_honest_and_more_where_all_add_theirs() -> None:
    assert SHIPPED.count_deviation == pytest.approx(NOISE_MULTIPLIER * USAGE.norm * (64 / 22) ** 0.5, rel=0.001)


def test_at_so_many_devices_a_whole_change_is_seen_and_at_fewer_it_is_not() -> None:
    devices = SHIPPED.devices(0.1)
    assert SHIPPED.least_index(devices) <= 0.1 < SHIPPED.least_index(devices / 1.02)


@pytest.mark.parametrize(("devices", "answers", "has_noise"), [(2000, 1000, True), (100_000, 1000, True), (20, 200, False)])
def test_the_least_change_is_seen_by_the_report_in_nine_weeks_of_ten(devices: int, answers: int, has_noise: bool) -> None:
    least = SHIPPED.least_index(devices, answers, has_noise)
    assert seen_share(devices, answers, least, has_noise) == pytest.approx(0.9, abs=0.03)
    assert seen_share(devices, answers, least / 2, has_noise) < 0.7


def test_a_whole_change_is_seen_by_the_report_in_nine_weeks_of_ten_at_the_devices_that_are_named() -> None:
    assert seen_share(SHIPPED.devices(0.1), 1000, 0.1, has_noise=True) == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("freedom", [2, 4, 14, 56])
def test_the_chance_of_seeing_is_that_of_a_noncentral_chi_squared_variable(freedom: int) -> None:
    bound = freedom + DEVIATIONS * (2 * freedom) ** 0.5
    for moved in (0.1, 10.0, noncentrality(freedom)):
        found = np.random.default_rng(1).noncentral_chisquare(freedom, moved, 100_000)
        assert chance_of_seeing(freedom, moved) == pytest.approx(float(np.mean(found >= bound)), abs=0.005)


def test_topics_lie_apart_and_two_halves_of_one_do_not() -> None:
    found = topics()
    assert whole_change(found, BUCKETS) > 0.05
    halves = [{"odd": rows[::2], "even": rows[1::2]} for rows in found.values()]
    assert abs(float(np.mean([whole_change(half, BUCKETS) for half in halves]))) < 0.02
