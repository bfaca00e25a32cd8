"""The next map is the one that all answers in one place would give; clipping, noise and doubt only make steps shorter."""

from random import Random

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from benchmarks.calibration_fleet import central_map, furthest
from contract.calibration.cohorts import CohortSum
from contract.calibration.fitting import LEAST_ANSWERS, MOST_STEP, fit
from contract.calibration.maps import CONFIDENCE, SAME, SIMILARITY, Map, Score, log_odds, logistic
from contract.calibration.sums import ANSWER_UNITS, MOST_ANSWERS, RANGE_UNITS, SURPRISE_NORM, entries, tally
from contract.errors import InvalidRequest, Reason

TRUTH = Map(0.8, -0.3)
FEW = 16


def answers_of(score: Score, truth: Map, count: int, seed: int) -> list[tuple[float, bool]]:
    """Figures at the middle of ranges, so that nothing is rounded."""
    random = Random(seed)
    figures = [logistic(score.middle_of(random.randrange(score.ranges))) for _ in range(count)]
    return [(figure, random.random() < truth.probability(figure)) for figure in figures]


def summed(score: Score, in_force: Map, judged: list[tuple[float, bool]], variance: float = 0.0) -> CohortSum:
    """Devices of so few answers each that none is clipped near the truth."""
    shares = [judged[begin : begin + FEW] for begin in range(0, len(judged), FEW)]
    vectors = [tally(score, in_force, share) for share in shares]
    return CohortSum(len(shares), tuple(map(sum, zip(*vectors, strict=True))), variance)


@pytest.mark.parametrize(("score", "truth"), [(CONFIDENCE, TRUTH), (SIMILARITY, Map(1.2, -1.0))])
def test_where_nobody_is_clipped_one_round_gives_what_all_answers_in_one_place_would(score: Score, truth: Map) -> None:
    judged = answers_of(score, truth, 40 * MOST_ANSWERS, seed=2)
    step = fit(score, truth, [summed(score, truth, judged)])
    assert not step.is_cut
    assert step.answers == len(judged)
    assert furthest(score, step.map, central_map(judged)) < 0.004
    assert furthest(score, truth, central_map(judged)) > 0.004


def test_cohorts_and_windows_under_one_map_are_as_good_as_one_sum() -> None:
    judged = answers_of(CONFIDENCE, TRUTH, 40 * MOST_ANSWERS, seed=3)
    half = len(judged) // 2
    parts = [summed(CONFIDENCE, TRUTH, judged[:half]), summed(CONFIDENCE, TRUTH, judged[half:])]
    assert fit(CONFIDENCE, TRUTH, parts).map == fit(CONFIDENCE, TRUTH, [summed(CONFIDENCE, TRUTH, judged)]).map


def test_from_far_off_it_takes_some_windows_each_nearer_than_the_one_before() -> None:
    far, off = Map(1.0, 1.5), list[float]()
    for window in range(6):
        judged = answers_of(CONFIDENCE, TRUTH, 60 * MOST_ANSWERS, seed=window)
        far = fit(CONFIDENCE, far, [summed(CONFIDENCE, far, judged)]).map
        off.append(furthest(CONFIDENCE, far, TRUTH))
    assert off[:3] == sorted(off[:3], reverse=True)
    assert off[-1] < 0.03 < off[0]


numbers = st.integers(-(2**40), 2**40)
sums = st.builds(
    lambda surprise, counts, variance: CohortSum(
        64, (*surprise, sum(counts) * ANSWER_UNITS, *(count * RANGE_UNITS for count in counts)), variance
    ),
    st.tuples(st.integers(-SURPRISE_NORM * 40, SURPRISE_NORM * 40), st.integers(-SURPRISE_NORM * 40, SURPRISE_NORM * 40)),
    st.lists(st.integers(0, 250), min_size=CONFIDENCE.ranges, max_size=CONFIDENCE.ranges),
    st.floats(0, 1e6),
)


@settings(max_examples=50, deadline=None)
@given(st.builds(Map, st.floats(0.05, 10), st.floats(-12, 12)), st.lists(sums, min_size=1, max_size=3))
def test_no_step_moves_log_odds_further_than_it_may_whatever_the_sums_are(in_force: Map, cohorts: list[CohortSum]) -> None:
    try:
        moved = fit(CONFIDENCE, in_force, cohorts).map
    except InvalidRequest:
        reject()
    for number in (0, CONFIDENCE.ranges - 1):
        odds = CONFIDENCE.middle_of(number)
        assert abs((moved.slope - in_force.slope) * odds + moved.offset - in_force.offset) <= MOST_STEP + 1e-4


def test_a_figure_that_misleads_gets_the_flattest_map_and_never_one_that_turns_the_order_round() -> None:
    in_force = Map(0.1, 0.0)
    judged = [(figure, not is_good) for figure, is_good in answers_of(CONFIDENCE, Map(0.5, 0.0), 40 * MOST_ANSWERS, seed=5)]
    assert fit(CONFIDENCE, in_force, [summed(CONFIDENCE, in_force, judged)]).map.slope == 0.05


def test_too_few_answers_are_refused_with_what_became_of_the_cohorts() -> None:
    few = summed(CONFIDENCE, SAME, answers_of(CONFIDENCE, TRUTH, LEAST_ANSWERS - 1, seed=1))
    broken = CohortSum(2, (2**40, *[0] * (entries(CONFIDENCE) - 1)))
    with pytest.raises(InvalidRequest, match="await another window") as refused:
        fit(CONFIDENCE, SAME, [few, broken])
    assert refused.value.reason is Reason.CALIBRATION_INVALID
    assert "cohort 2: its surprise is longer" in refused.value.message
    with pytest.raises(InvalidRequest, match="no cohort was discarded"):
        fit(CONFIDENCE, SAME, [few])


def test_a_step_tells_by_how_much_the_map_in_force_was_off() -> None:
    figure = logistic(CONFIDENCE.middle_of(6))
    judged = [(figure, number % 2 == 0) for number in range(10 * MOST_ANSWERS)]
    step = fit(CONFIDENCE, SAME, [summed(CONFIDENCE, SAME, judged)])
    assert step.mean_surprise == pytest.approx(0.5 - figure, abs=0.001)
    assert abs(log_odds(step.map.probability(figure))) < 0.05 < log_odds(figure)
