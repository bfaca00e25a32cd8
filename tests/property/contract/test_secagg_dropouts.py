"""Rounds from which devices are lost at any stage: the sum is exactly that of the survivors, or there is none."""

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from contract.errors import NotPossibleNow, Reason
from contract.secagg.rules import least_threshold
from contract.secagg.wire import Kind
from tests.fakes.secagg_cohort import STAGES, Cohort

BEFORE_THE_SUM = (Kind.KEYS, Kind.SHARES, Kind.MASKED)


def lost_of(data: st.DataObject, cohort: Cohort, count: int) -> dict[str, Kind]:
    agents = data.draw(st.permutations(cohort.agents))[:count]
    return {agent: data.draw(st.sampled_from(STAGES)) for agent in agents}


def exact(cohort: Cohort, lost: dict[str, Kind]) -> None:
    survivors = tuple(agent for agent in cohort.agents if lost.get(agent) not in BEFORE_THE_SUM)
    found = cohort.run(lost)
    assert found.agents == survivors
    assert found.values == cohort.sum_of(survivors)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 10), st.integers(1, 9))
def test_the_sum_is_that_of_the_survivors_whoever_else_is_lost(data: st.DataObject, size: int, entries: int) -> None:
    cohort = Cohort(size, entries, seed=data.draw(st.integers(0, 2**32)))
    exact(cohort, lost_of(data, cohort, data.draw(st.integers(0, size - least_threshold(size)))))


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(1, 10))
def test_with_one_more_lost_there_is_no_sum(data: st.DataObject, size: int) -> None:
    lost_too_many(data, size)


def lost_too_many(data: st.DataObject, size: int) -> None:
    cohort = Cohort(size)
    lost = lost_of(data, cohort, data.draw(st.integers(size - least_threshold(size) + 1, size)))
    with pytest.raises(NotPossibleNow) as caught:
        cohort.run(lost)
    assert caught.value.reason is Reason.ROUND_SHORT


def test_a_cohort_of_64_that_loses_21_all_through_the_round_is_exact() -> None:
    cohort = Cohort(64)
    exact(cohort, {agent: STAGES[number % 5] for number, agent in enumerate(cohort.random.sample(cohort.agents, 21))})


@pytest.mark.system
@settings(max_examples=500, deadline=None)
@given(st.data(), st.integers(1, 64), st.integers(1, 300))
def test_the_sum_is_that_of_the_survivors_in_cohorts_of_any_size(data: st.DataObject, size: int, entries: int) -> None:
    cohort = Cohort(size, entries, seed=data.draw(st.integers(0, 2**32)))
    lost = lost_of(data, cohort, data.draw(st.integers(0, size - least_threshold(size))))
    happened(size, lost)
    exact(cohort, lost)


@pytest.mark.system
@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 64))
def test_with_one_more_lost_there_is_no_sum_in_cohorts_of_any_size(data: st.DataObject, size: int) -> None:
    lost_too_many(data, size)


def happened(size: int, lost: dict[str, Kind]) -> None:
    """Counts what ran: `--hypothesis-show-statistics` prints it."""
    event(f"of {size // 16 * 16} devices and more")
    for stage in STAGES:
        event(f"{stage.name}: {'some' if stage in lost.values() else 'none'} are lost")
