"""What a round is of."""

import pytest

from contract.calibration.maps import CONFIDENCE, SIMILARITY, Map
from contract.calibration.sums import MOST_ANSWERS, tally
from contract.learning import schema, terms
from contract.secagg.messages import MOST_WINDOW_BYTES
from contract.subjects import EMBEDDER, USAGE, Confidence, Judged, Similarity, Subject, read_subject, week_of

MODEL = "sha256:" + "a" * 64
WEEK = "2026-W48"
SUBJECTS: tuple[Subject, ...] = (
    USAGE,
    Confidence(MODEL),
    Confidence("sha256:" + "b" * 64),
    Confidence(MODEL, Map(1.0, 0.1)),
    Confidence(MODEL, Map(1.1, 0.0)),
    Similarity(MODEL),
    Similarity(EMBEDDER),
    Similarity(EMBEDDER, Map(1.1, 0.0)),
)


def test_each_subject_model_map_and_amount_of_noise_has_a_schema_of_its_own() -> None:
    schemas = {schema(subject, is_exact) for subject in SUBJECTS for is_exact in (False, True)}
    assert len(schemas) == 2 * len(SUBJECTS)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_subject_is_read_as_it_was_written(subject: Subject) -> None:
    assert read_subject(subject.to_dict()) == subject


def test_a_window_names_its_week_and_none_is_of_two_subjects() -> None:
    windows = [terms(subject, WEEK, is_exact=False).window for subject in (USAGE, Confidence(MODEL), Similarity(MODEL))]
    assert windows == [WEEK, f"{WEEK}.confidence", f"{WEEK}.similarity"]
    assert {week_of(window) for window in windows} == {WEEK}
    assert all(len(window) <= MOST_WINDOW_BYTES for window in windows)


@pytest.mark.parametrize("subject", [Confidence(MODEL), Similarity(EMBEDDER)])
def test_every_entry_has_a_name_and_no_vector_is_longer_than_the_norm(subject: Judged) -> None:
    vector = tally(subject.score, Map(), [(0.1, True)] * MOST_ANSWERS)
    assert sum(value * value for value in vector) <= subject.norm**2
    named = subject.named(vector)
    assert len(named) == subject.entries
    assert (named["surprise"], named[f"range.{subject.score.ranges - 1}"]) == (vector[0], vector[-1])


def test_each_figure_has_ranges_of_its_own() -> None:
    assert (Confidence.score, Similarity.score) == (CONFIDENCE, SIMILARITY)
    assert Confidence.entries - Similarity.entries == CONFIDENCE.ranges - SIMILARITY.ranges
