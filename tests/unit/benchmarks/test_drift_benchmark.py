"""What the benchmark of drift says is what the report would find."""

import numpy as np
import pytest

from benchmarks.drift import SEEN, Shape, topics, whole_change
from contract.drift import BUCKETS, DIRECTIONS
from contract.learning import NOISE_MULTIPLIER
from contract.subjects import USAGE
from hub.learning.drift import Week, drift

SHIPPED = Shape(DIRECTIONS, BUCKETS)


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
    assert SEEN * SHIPPED.index_deviation(devices) <= 0.1 < SEEN * SHIPPED.index_deviation(devices / 1.02)


def test_topics_lie_apart_and_two_halves_of_one_do_not() -> None:
    found = topics()
    assert whole_change(found, BUCKETS) > 0.05
    halves = [{"odd": rows[::2], "even": rows[1::2]} for rows in found.values()]
    assert abs(float(np.mean([whole_change(half, BUCKETS) for half in halves]))) < 0.02
