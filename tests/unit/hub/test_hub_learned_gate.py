"""The gate that reads reports: what it calls a rise, how often it is wrong, and what it says where too little is known."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import sqrt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import InvalidRequest
from contract.learning import noise_of
from contract.secagg.roster import Roster
from contract.subjects import USAGE
from hub.learning.planning import make_plan
from hub.learning.said import Said
from hub.release.gates import Judgement, Learned, judge_learned, says_something
from hub.release.plan import Plan, read_plan
from hub.release.rules import Standing, Told, WaveTimes, next_standing
from hub.store.rollout_states import ACTIVE, ROLLING_BACK
from seawall.hub.v1 import rollout_pb2
from tests.unit.hub.test_hub_rollout_steps import Known

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LIMIT = 0.05
NUMBERS = st.integers(-(10**7), 10**7)


def report(new: tuple[int, int], old: tuple[int, int], deviation: float = 0.0) -> Learned:
    """Good and bad answers of either."""
    return Learned("2026-W48", Said(*new), Said(*old), deviation)


def drawn(random: Random, share: float, answers: int, deviation: float) -> tuple[int, int]:
    bad = sum(random.random() < share for _ in range(answers))
    good, bad = (round(count + random.gauss(0, deviation)) for count in (answers - bad, bad))
    return good, bad


def test_a_rise_beyond_the_limit_and_beyond_doubt_is_named_with_its_figures() -> None:
    judged = judge_learned(LIMIT, report((280, 120), (3600, 400)))
    assert judged == Judgement(
        True,
        "learned_negative_share_rise: by the report of 2026-W48 it has gone from 0.1 to 0.301, up by 0.201 ± 0.047; at most 0.05 may be.",
    )


def test_a_share_that_has_not_risen_is_nothing_to_speak_of() -> None:
    assert judge_learned(LIMIT, report((3600, 400), (3600, 400))) == Judgement(False)


@pytest.mark.parametrize(
    "learned",
    [
        pytest.param(report((0, 1), (1, 0)), id="one answer each"),
        pytest.param(report((30, 10), (360, 40)), id="chance"),
        pytest.param(report((280, 120), (3600, 400), 60.0), id="noise"),
    ],
)
def test_a_rise_that_noise_or_chance_may_have_made_breaks_nothing_and_says_what_is_known(learned: Learned) -> None:
    judged = judge_learned(LIMIT, learned)
    assert not judged.is_broken
    assert "±" in judged.why


@pytest.mark.parametrize("learned", [report((0, 0), (90, 9)), report((300, 60), (3000, 600), 100.0), report((-50, 300), (9, 9), 100.0)])
def test_answers_that_may_be_none_at_all_are_too_few(learned: Learned) -> None:
    assert judge_learned(LIMIT, learned) == Judgement(False, "the report of 2026-W48 counts too few answers that people called good or bad")


@pytest.mark.parametrize(("size", "least"), [(20, 113_900), (64, 122_800)])
def test_with_the_noise_of_all_of_a_cohort_a_version_needs_as_many_judged_answers_as_the_runbook_says(size: int, least: int) -> None:
    names = [f"till-{number}" for number in range(size)]
    plan = make_plan(names, USAGE, "2026-W48", False, Roster(1, dict.fromkeys(names, "a" * 64)), bytes)
    deviation = sqrt(noise_of(USAGE, plan).variance_each * size)
    few, enough = round(0.999 * least), round(1.001 * least)
    assert not says_something(report((few, 0), (enough, 0), deviation))
    assert not says_something(report((enough, 0), (0, few), deviation))
    assert says_something(report((enough, 0), (0, enough), deviation))


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.floats(0, 1e6), st.floats(0, 1))
def test_no_sums_break_the_gate_itself(a: int, b: int, c: int, d: int, deviation: float, limit: float) -> None:
    judged = judge_learned(limit, report((a, b), (c, d), deviation))
    assert judged.why or not judged.is_broken


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
@pytest.mark.parametrize(("answers", "deviation"), [(5, 0.0), (200, 0.0), (200, 30.0), (1000, 200.0)])
def test_a_rise_of_just_the_limit_is_called_more_in_one_of_twenty_weeks_at_most(share: float, answers: int, deviation: float) -> None:
    random, weeks = Random(1), 300
    broken = 0
    for _ in range(weeks):
        new, old = drawn(random, share + LIMIT, answers, deviation), drawn(random, share, answers, deviation)
        broken += judge_learned(LIMIT, report(new, old, deviation)).is_broken
    assert broken / weeks <= 0.05


def test_a_rise_far_beyond_the_limit_is_found_through_noise() -> None:
    random = Random(1)
    found = [
        judge_learned(LIMIT, report(drawn(random, 0.4, 2000, 100.0), drawn(random, 0.1, 2000, 100.0), 100.0)).is_broken for _ in range(20)
    ]
    assert all(found)


def plan(limit: float | None) -> Plan:
    wave = rollout_pb2.Wave()
    wave.soak_time.FromTimedelta(timedelta(days=8))
    wanted = rollout_pb2.Rollout(
        model_version="models/x/versions/2", waves=[wave], gates=rollout_pb2.Gates(max_learned_negative_share_rise=limit)
    )
    return read_plan("june", wanted.SerializeToString())


def soaked(plan: Plan, facts: Known) -> Standing:
    """What becomes of a wave that has soaked."""
    began = NOON - timedelta(days=9)
    after = next_standing(plan, Standing(ACTIVE, (WaveTimes(began, began),)), facts, NOON)
    assert after is not None
    return after


PROVEN = [Told(0, "TAKE", "PROVEN", failed=False, counts=True, is_reached=True, is_late=False, count=3)]
BAD = report((280, 120), (3600, 400))


def test_a_wave_whose_answers_people_call_bad_rolls_back_and_the_reason_names_figures() -> None:
    after = soaked(plan(LIMIT), Known(PROVEN, BAD))
    assert (after.state, after.current_wave) == (ROLLING_BACK, 0)
    assert after.reason.startswith("Wave 0: learned_negative_share_rise: by the report of 2026-W48 it has gone from 0.1 to 0.301")


@pytest.mark.parametrize("learned", ["no week that ended since the wave began has a report", replace(BAD, standard_deviation=1e6)])
def test_where_too_little_is_known_a_wave_is_through_and_it_is_said(learned: Learned | str) -> None:
    after = soaked(plan(LIMIT), Known(PROVEN, learned))
    assert (after.state, after.current_wave) == (ACTIVE, 1)
    assert after.reason.startswith("Wave 0 is through. Whether learned_negative_share_rise is within its limit is not known: ")


def test_a_wave_that_is_known_to_be_well_is_through_without_a_word() -> None:
    after = soaked(plan(LIMIT), Known(PROVEN, report((3600, 400), (3600, 400))))
    assert (after.current_wave, after.reason) == (1, "")


@pytest.mark.parametrize("limit", [-0.1, 1.1, float("nan")])
def test_a_limit_that_is_no_share_is_refused(limit: float) -> None:
    with pytest.raises(InvalidRequest, match="max_learned_negative_share_rise is from 0 to 1"):
        plan(limit)


def test_a_rollout_that_does_not_ask_for_it_looks_at_no_report() -> None:
    after = soaked(plan(None), Known(PROVEN, BAD))
    assert (after.current_wave, after.reason) == (1, "")
