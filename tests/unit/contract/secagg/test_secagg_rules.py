"""The numbers behind a device's rules."""

from dataclasses import replace

import pytest

from contract.secagg.rules import MOST_AGENTS, fewest_honest, least_threshold
from tests.fakes.secagg_cohort import Cohort


@pytest.mark.parametrize("size", range(1, MOST_AGENTS + 1))
def test_a_threshold_is_two_thirds_and_more_than_half(size: int) -> None:
    threshold = least_threshold(size)
    assert 3 * threshold >= 2 * size > 3 * (threshold - 1)
    assert 2 * threshold > size


@pytest.mark.parametrize("size", range(1, MOST_AGENTS + 1))
def test_two_sets_of_signers_share_an_honest_device_where_fewer_than_a_third_collude(size: int) -> None:
    colluding = (size - 1) // 3
    assert 2 * least_threshold(size) - size > colluding


@pytest.mark.parametrize("size", range(1, MOST_AGENTS + 1))
def test_every_sum_has_an_honest_contribution_that_bears_noise(size: int) -> None:
    plan = replace(Cohort(1).plan(), cohort=tuple(f"a-{number:02}" for number in range(size)), threshold=least_threshold(size))
    assert fewest_honest(plan) >= max(1, size / 3)
    assert fewest_honest(replace(plan, threshold=size)) == size - (size - 1) // 3
