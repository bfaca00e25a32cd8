"""Maps keep the order, bars and probabilities belong together, and a file that is not as it should be is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.calibration.maps import (
    CONFIDENCE,
    LEAST_SLOPE,
    MOST_BYTES,
    MOST_MAPS,
    MOST_OFFSET,
    MOST_SLOPE,
    SAME,
    SCORES,
    SIMILARITY,
    Bar,
    Calibrations,
    Fitted,
    Map,
    Score,
    logistic,
    read_calibrations,
    rounded,
)
from contract.errors import InvalidRequest, Reason

MODEL = "sha256:" + "a" * 64
figures = st.floats(0, 1)
maps = st.builds(Map, st.floats(LEAST_SLOPE, MOST_SLOPE), st.floats(-MOST_OFFSET, MOST_OFFSET))


@given(st.floats(1e-6, 1 - 1e-6))
def test_as_it_stands_a_map_changes_nothing(figure: float) -> None:
    assert SAME.probability(figure) == pytest.approx(figure)
    assert SAME.least_figure(figure) == pytest.approx(figure)


@given(maps, figures, figures)
def test_a_map_keeps_the_order(map_: Map, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0 <= map_.probability(low) <= map_.probability(high) <= 1


@given(st.builds(Map, st.floats(0.3, 3), st.floats(-3, 3)), st.floats(0.05, 0.95))
def test_the_bar_for_figures_is_where_the_probability_is_the_bar(map_: Map, bar: float) -> None:
    assert map_.probability(map_.least_figure(bar)) == pytest.approx(bar, abs=1e-3)


@given(maps)
def test_of_an_answer_of_which_nothing_is_known_nothing_is_expected(map_: Map) -> None:
    assert map_.probability(0.0) == 0.0


@given(maps, st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_a_bar_for_figures_is_one_that_a_figure_can_be_held_to(map_: Map, bar: float) -> None:
    assert 0 < map_.least_figure(bar) <= 1


bounds = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)


@given(maps | st.none(), st.floats(0, 1), st.floats(0.01, 0.99) | st.none(), bounds)
def test_no_map_moves_a_bar_beyond_the_sites_own_bounds(
    map_: Map | None, usual: float, probability: float | None, within: list[float]
) -> None:
    least, most = within
    assert least <= Bar(usual, probability, least, most).under(map_) <= most


def test_a_similarity_that_is_enough_by_the_map_is_still_not_enough_below_the_shipped_guard() -> None:
    generous, strict = Map(1.0, 2.0), Map(1.0, -2.0)
    bar = Bar(usual=0.97, probability=0.9, least=0.9)
    assert bar.under(generous) == 0.9
    assert bar.under(strict) == strict.least_figure(0.9) > 0.97
    assert bar.under(None) == 0.97


@pytest.mark.parametrize(
    "numbers", [(0.0, 0.0), (-1.0, 0.0), (11.0, 0.0), (1.0, 13.0), (1.0, -13.0), (float("nan"), 0.0), (1.0, float("nan"))]
)
def test_a_map_that_turns_the_order_round_or_is_beyond_reason_is_refused(numbers: tuple[float, float]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Map(*numbers)
    assert refused.value.reason is Reason.CALIBRATION_INVALID


@given(st.floats(-100, 100), st.floats(-100, 100))
def test_whatever_was_fitted_becomes_a_map_that_the_file_can_hold(slope: float, offset: float) -> None:
    made = rounded(slope, offset)
    assert read_calibrations(Calibrations((Fitted(CONFIDENCE, MODEL, made, 1),)).to_json()).of(CONFIDENCE, MODEL) == made


@pytest.mark.parametrize("score", SCORES.values(), ids=lambda score: score.name)
def test_every_figure_falls_into_the_range_that_is_nearest(score: Score) -> None:
    for number in range(score.ranges):
        for beside in (-0.49, 0.0, 0.49):
            assert score.range_of(logistic(score.middle_of(number) + beside * score.step)) == number
    assert score.range_of(0.0) == 0
    assert score.range_of(1.0) == score.ranges - 1


@pytest.mark.parametrize("score", SCORES.values(), ids=lambda score: score.name)
def test_places_are_log_odds_from_the_middle_and_end_where_the_ranges_do(score: Score) -> None:
    for number in range(score.ranges):
        assert score.middle + score.place_of(number) == pytest.approx(score.middle_of(number))
        assert score.place(logistic(score.middle_of(number))) == pytest.approx(score.place_of(number))
    assert score.place_of(score.ranges - 1) == pytest.approx(-score.place_of(0))
    assert -score.place(0.0) == score.place(1.0) == pytest.approx(score.place_of(score.ranges - 1) + score.step / 2)


def test_a_map_is_found_by_its_figure_and_model_and_replaced_by_a_newer_one() -> None:
    one, other, newer = Map(0.5, -1.0), Map(2.0, 1.0), Map(0.6, -1.0)
    kept = Calibrations().having(Fitted(CONFIDENCE, MODEL, one, 500)).having(Fitted(SIMILARITY, MODEL, other, 10))
    kept = kept.having(Fitted(CONFIDENCE, MODEL, newer, 700))
    assert kept.of(CONFIDENCE, MODEL) == newer
    assert kept.of(SIMILARITY, MODEL) == other
    assert kept.of(CONFIDENCE, "sha256:another") is None


def test_a_file_has_one_form_and_is_read_as_it_was_written() -> None:
    fitted = (Fitted(SIMILARITY, MODEL, Map(2.0, -1.5), 300), Fitted(CONFIDENCE, MODEL, Map(0.73, -0.69), 4211))
    written = Calibrations(fitted).to_json()
    assert written == Calibrations(fitted[::-1]).to_json()
    assert set(read_calibrations(written).fitted) == set(fitted)


def file_of(**changes: Any) -> bytes:
    item = {"of": "confidence", "model": MODEL, "slope": 0.7, "offset": -0.7, "answers": 300, **changes}
    return json.dumps({"format_version": 1, "maps": [{name: value for name, value in item.items() if value is not None}]}).encode()


def test_the_file_that_is_broken_below_is_good() -> None:
    assert read_calibrations(file_of()).of(CONFIDENCE, MODEL) == Map(0.7, -0.7)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"format_version": 2, "maps": []}',
        b'{"format_version": 1, "maps": [], "more": 1}',
        b'{"format_version": 1, "maps": [[]]}',
        b'{"format_version": 1, "maps": 5}',
        file_of(of="temper"),
        file_of(model=5),
        file_of(slope=None),
        file_of(slope=True),
        file_of(slope="1"),
        file_of(slope=-0.7),
        file_of(slope=10**400),
        file_of(offset=1e400),
        file_of(answers=-1),
        file_of(answers=1.5),
        file_of(more=1),
        b" " * (MOST_BYTES + 1),
    ],
    ids=range(20),
)
def test_a_file_that_is_not_as_it_should_be_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_calibrations(content)
    assert refused.value.reason is Reason.CALIBRATION_INVALID


def test_two_maps_for_the_same_and_too_many_are_refused() -> None:
    one = Fitted(CONFIDENCE, MODEL, SAME, 1)
    for fitted in ((one, one), tuple(Fitted(CONFIDENCE, str(number), SAME, 1) for number in range(MOST_MAPS + 1))):
        with pytest.raises(InvalidRequest):
            Calibrations(fitted)
