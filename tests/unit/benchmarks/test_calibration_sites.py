"""Sites whose answers are the model's: what they see, what is held out, and what the committed file holds."""

import json
from pathlib import Path
from random import Random
from statistics import fmean

import pytest

from benchmarks.calibration import WINDOWS, real
from benchmarks.calibration_answers import BUNDLE, Answered, all_questions, answered_all, by_kind, by_range, to_json
from benchmarks.calibration_fleet import GARBAGE, brier, central_map, ece
from benchmarks.calibration_rounds import learn
from benchmarks.calibration_sites import FILE, AskingSite, asking_fleet, halves, read_answers
from contract.calibration.maps import SAME

POOL = {"easy": [(0.9, True), (0.8, True), (0.7, False)], "hard": [(0.3, False), (0.2, False)]}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    answers = [Answered("hard", 0.3, False), Answered("easy", 0.9, True), Answered("easy", 0.7, False), Answered("easy", 0.8, True)]
    (tmp_path / "file").write_text(to_json("sha256:1", answers))
    assert read_answers(tmp_path / "file") == {"easy": [(0.9, True), (0.8, True), (0.7, False)], "hard": [(0.3, False)]}
    assert json.loads((tmp_path / "file").read_text())["model"] == "sha256:1"


def test_in_each_range_of_confidence_the_right_ones_are_counted() -> None:
    answers = [Answered("a", figure, is_right) for figure, is_right in ((0.41, True), (0.44, False), (0.44, True), (0.9, True))]
    low, high = by_range(answers)
    assert low == pytest.approx((0.45, 3, 2 / 3), abs=0.05)
    assert high == pytest.approx((0.9, 1, 1.0), abs=0.02)


def test_each_answer_is_in_one_half_and_each_kind_in_both() -> None:
    seen, held_out = halves(POOL, Random(1))
    for kind, answers in POOL.items():
        assert sorted([*seen[kind], *held_out[kind]]) == sorted(answers)
        assert abs(len(seen[kind]) - len(held_out[kind])) <= 1


def test_a_site_asks_what_its_shares_say_and_the_same_of_other_answers() -> None:
    site = AskingSite(POOL, (0.0, 1.0), 50)
    assert set(site.window(Random(1))) == set(POOL["hard"])
    assert len(site.window(Random(1))) == 50
    assert set(site.asking({"easy": [(0.5, True)], "hard": [(0.4, False)]}).window(Random(1))) == {(0.4, False)}


def test_sites_differ_in_what_they_ask_and_in_how_much() -> None:
    sites = asking_fleet(20, read_answers(), Random(1))
    assert all(sum(site.shares) == pytest.approx(1) for site in sites)
    assert len({site.answers for site in sites}) > 10
    assert len({max(range(len(site.shares)), key=site.shares.__getitem__) for site in sites}) > 5
    assert fmean(sum(sorted(site.shares)[-4:]) for site in sites) > 0.5


def test_the_file_holds_an_answer_to_each_question_and_no_word_of_either() -> None:
    held = json.loads(FILE.read_text())
    asked = [item.kind for item in all_questions(held["seed"])[: held["questions"]]]
    answers = read_answers()
    assert {kind: len(found) for kind, found in answers.items()} == {kind: asked.count(kind) for kind in set(asked)}
    assert set(held) == {"command", "version", "model", "seed", "questions", "tokens", "kinds"}
    assert all(0 < figure < 1 for found in answers.values() for figure, _ in found)


def test_over_fleets_of_real_answers_the_error_is_near_that_of_a_map_fitted_in_one_place() -> None:
    found = [(learn(sites, Random(seed), WINDOWS), held_out) for seed in range(2) for sites, held_out in [real(seed)]]
    for error in (ece, brier):
        ours = fmean(error(own, held_out) for (own, _), held_out in found)
        assert ours <= 1.1 * fmean(error(central_map(judged), held_out) for (_, judged), held_out in found)
        assert ours < 0.9 * fmean(error(SAME, held_out) for _, held_out in found)


@pytest.mark.parametrize("kind", ["inverted", "sure and bad", "unsure and good"])
def test_one_site_with_garbage_moves_the_error_of_real_answers_by_a_hundredth_at_most(kind: str) -> None:
    sites, held_out = real(0)
    ours, _ = learn(sites, Random(0), WINDOWS)
    spoilt, _ = learn(sites, Random(0), WINDOWS, garbage=GARBAGE[kind])
    assert abs(ece(spoilt, held_out) - ece(ours, held_out)) <= 0.01


@pytest.mark.model
async def test_the_model_answers_as_the_file_says() -> None:
    asked = all_questions()[:8]
    model, answers = await answered_all(Path(__file__).parents[3] / BUNDLE, asked)
    held = json.loads(FILE.read_text())
    if model != held["model"]:
        pytest.skip("the bundle was built anew: run python -m benchmarks.calibration_answers")
    for kind, found in by_kind(answers).items():
        for said, figures in found.items():
            assert figures == pytest.approx(held["kinds"][kind][said][: len(figures)], abs=0.02), kind
