"""Who is asked together."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.secagg.rules import MOST_AGENTS
from hub.learning.cohorts import Group, Sizes, draw

SIZES = Sizes(smallest=8, wanted=20)


def group(name: str) -> Group:
    return (("model", name),)


def agents(**sizes: int) -> list[tuple[str, Group]]:
    return [(f"{name}-{number:04}", group(name)) for name, size in sizes.items() for number in range(size)]


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 150), max_size=4), st.integers(0, 1000))
def test_every_agent_is_in_one_cohort_at_most_and_cohorts_have_their_sizes(sizes: dict[str, int], seed: int) -> None:
    found = agents(**sizes)
    drawn = draw(found, SIZES, Random(seed))
    chosen = [agent for cohort in drawn.cohorts for agent in cohort.agents]
    assert len(chosen) == len(set(chosen)) == len(found) - drawn.left_out
    groups = dict(found)
    for cohort in drawn.cohorts:
        assert SIZES.smallest <= len(cohort.agents) <= MOST_AGENTS
        assert list(cohort.agents) == sorted(cohort.agents)
        assert cohort.group == () or {groups[agent] for agent in cohort.agents} == {cohort.group}


@pytest.mark.parametrize(("size", "expected"), [(7, []), (8, [8]), (64, [64]), (65, [32, 33]), (200, [50, 50, 50, 50])])
def test_a_fleet_is_split_as_equally_as_can_be(size: int, expected: list[int]) -> None:
    drawn = draw(agents(a=size), SIZES, Random(1))
    assert sorted(len(cohort.agents) for cohort in drawn.cohorts) == expected
    assert drawn.left_out == (0 if expected else size)


def test_a_group_that_is_large_enough_is_asked_by_itself_and_small_ones_together() -> None:
    drawn = draw(agents(a=20, b=19, c=5), SIZES, Random(1))
    assert [(cohort.group, len(cohort.agents)) for cohort in drawn.cohorts] == [((), 24), (group("a"), 20)]


def test_one_small_group_alone_keeps_its_name() -> None:
    drawn = draw(agents(a=20, b=9), SIZES, Random(1))
    assert [cohort.group for cohort in drawn.cohorts] == [group("a"), group("b")]


def test_cohorts_are_drawn_anew_by_chance() -> None:
    found = agents(a=100)
    first, again = (draw(found, SIZES, Random(seed)).cohorts for seed in (1, 2))
    assert {cohort.agents for cohort in first} != {cohort.agents for cohort in again}
