"""What a device reports: bounded, whatever its answers were; and of nothing but figures and what they were called."""

from dataclasses import replace
from math import hypot

from hypothesis import given
from hypothesis import strategies as st

from contract.calibration.cohorts import CohortSum, flaw
from contract.calibration.maps import CONFIDENCE, SAME, SIMILARITY, Map, Score, logistic
from contract.calibration.sums import (
    ANSWER_UNITS,
    MOST_ANSWERS,
    NORM,
    RANGE_UNITS,
    SURPRISE_NORM,
    UNIT,
    entries,
    judged_of,
    schema_digest,
    tally,
)
from tests.fakes.answerer import receipt

scores = st.sampled_from((CONFIDENCE, SIMILARITY))
maps = st.builds(Map, st.floats(0.05, 10), st.floats(-12, 12))
windows = st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=MOST_ANSWERS * 2)
extremes = st.builds(
    lambda answer, count: [answer] * count, st.tuples(st.sampled_from((0.0, 0.5, 1.0)), st.booleans()), st.integers(0, 10_000)
)


@given(scores, maps, windows | extremes)
def test_no_vector_is_longer_than_its_norm_whatever_a_site_says(score: Score, in_force: Map, judged: list[tuple[float, bool]]) -> None:
    vector = tally(score, in_force, judged)
    assert len(vector) == entries(score)
    assert hypot(*vector[:2]) <= SURPRISE_NORM
    assert hypot(*vector) <= NORM
    count = min(sum(figure > 0 for figure, _ in judged), MOST_ANSWERS)
    assert (vector[2], sum(vector[3:])) == (count * ANSWER_UNITS, count * RANGE_UNITS)


@given(scores, maps, st.lists(windows | extremes, min_size=1, max_size=5))
def test_what_honest_devices_come_to_is_never_discarded_for_itself(
    score: Score, in_force: Map, sites: list[list[tuple[float, bool]]]
) -> None:
    vectors = [tally(score, in_force, judged) for judged in sites]
    assert flaw(score, CohortSum(len(sites), tuple(map(sum, zip(*vectors, strict=True))))) == ""


def test_a_surprise_is_by_how_much_better_an_answer_was_than_the_map_says() -> None:
    number = 9
    figure, place = logistic(CONFIDENCE.middle_of(number)), CONFIDENCE.place_of(number)
    better = tally(CONFIDENCE, SAME, [(figure, True), (figure, True), (figure, False)])
    surprise = 2 - 3 * figure
    assert better[:2] == [round(surprise * UNIT), round(surprise * place * UNIT)]
    assert better[2:] == [3 * ANSWER_UNITS, *(3 * RANGE_UNITS if other == number else 0 for other in range(CONFIDENCE.ranges))]


def test_answers_that_are_judged_as_the_map_says_come_to_nothing() -> None:
    sure = Map(1.0, -0.2 / 2)
    judged = [(logistic(CONFIDENCE.middle_of(number)), number % 2 == 0) for number in range(CONFIDENCE.ranges)]
    both = [*judged, *((figure, not is_good) for figure, is_good in judged)]
    most_unsure = Map(0.05, 0.0)
    assert abs(tally(CONFIDENCE, most_unsure, both)[0]) < 0.5 * UNIT < abs(tally(CONFIDENCE, sure, both)[0])


def test_the_map_and_the_model_and_the_figure_are_in_the_schema() -> None:
    schema = schema_digest(CONFIDENCE, "sha256:a", SAME)
    assert schema == schema_digest(CONFIDENCE, "sha256:a", Map(1.0, 0.0))
    others = {
        schema_digest(CONFIDENCE, "sha256:b", SAME),
        schema_digest(SIMILARITY, "sha256:a", SAME),
        schema_digest(CONFIDENCE, "sha256:a", Map(1.0, 0.000001)),
    }
    assert len(others) == 3
    assert schema not in others


def test_only_texts_of_the_model_that_were_judged_count_recalled_ones_too() -> None:
    local = replace(receipt("a"), route="local", model_digest="sha256:a", confidence=0.4)
    said = [
        (local, True),
        (local, None),
        (replace(local, route="cache", confidence=0.7), False),
        (replace(local, model_digest="sha256:b"), True),
        (replace(local, route="escalated", model_digest=""), True),
        (replace(local, confidence=None), True),
    ]
    assert list(judged_of("sha256:a", said)) == [(0.4, True), (0.7, False)]


def test_answers_of_which_nothing_is_known_say_nothing() -> None:
    assert tally(CONFIDENCE, SAME, [(0.0, True)] * 100 + [(0.5, True)]) == tally(CONFIDENCE, SAME, [(0.5, True)])
