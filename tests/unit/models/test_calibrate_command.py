"""`seawall-models calibrate`: from the hub's sums to the file that is signed."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.calibration_fleet import furthest, made_up_fleet
from contract.calibration.cohorts import CohortSum
from contract.calibration.maps import CONFIDENCE, SAME, SIMILARITY, Calibrations, Map, read_calibrations
from contract.calibration.report import Report
from contract.calibration.sums import SURPRISE_NORM, schema_digest, tally
from contract.errors import InvalidRequest
from contract.policy_bundle import check_policy_bundle
from contract.subjects import EMBEDDER, Similarity
from models.calibrate_command import calibrate

MODEL = "sha256:" + "a" * 64
COHORTS = 4

app = typer.Typer()
app.command()(calibrate)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "policy.cedar").write_text('@id("all") permit (principal, action, resource);')
    return folder


def sums(file: Path, in_force: Map, seed: int, broken: int | None = None, model: str = MODEL) -> Path:
    """A window's sums of four cohorts, of which one may have a device with code of its own."""
    random, cohorts = Random(seed), list[CohortSum]()
    for number in range(COHORTS):
        vectors = [tally(CONFIDENCE, in_force, site.window(random)) for site in made_up_fleet(20, random)]
        if number == broken:
            vectors[0][0] = 50 * SURPRISE_NORM
        cohorts.append(CohortSum(20, tuple(map(sum, zip(*vectors, strict=True)))))
    file.write_bytes(Report(CONFIDENCE, model, schema_digest(CONFIDENCE, model, in_force), tuple(cohorts)).to_json())
    return file


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def written(policy: Path) -> Calibrations:
    return read_calibrations((policy / "calibration.json").read_bytes())


def test_window_by_window_the_file_comes_to_be_one_that_can_be_signed(policy: Path, tmp_path: Path) -> None:
    in_force, moved = SAME, list[float]()
    for window in range(6):
        said: Any = json.loads(run(sums(tmp_path / "sums.json", in_force, window), "--policy", policy, "--json"))
        found = written(policy).of(CONFIDENCE, MODEL)
        assert found == Map(said["slope"], said["offset"])
        moved.append(furthest(CONFIDENCE, in_force, found))
        in_force = found
    assert moved[-1] < 0.05 < moved[0]
    assert not said["is_cut"]
    check_policy_bundle({file.name: file.read_bytes() for file in policy.iterdir()})


def test_a_cohort_with_a_modified_client_is_left_out_and_said_to_be(policy: Path, tmp_path: Path) -> None:
    said = run(sums(tmp_path / "sums.json", SAME, 1, broken=2), "--policy", policy)
    assert "cohort 3 of 4 is discarded: its surprise is longer" in said
    assert "publish it, have another window summed" in said
    assert "seawall-models publish" in said


def test_a_map_of_similarity_is_fitted_beside_one_of_confidence(policy: Path, tmp_path: Path) -> None:
    run(sums(tmp_path / "sums.json", SAME, 1), "--policy", policy)
    judged = [(0.9, number % 3 > 0) for number in range(100)]
    cohort = CohortSum(3, tuple(3 * value for value in tally(SIMILARITY, SAME, judged)))
    file = tmp_path / "similar.json"
    file.write_bytes(Report(SIMILARITY, EMBEDDER, Similarity(EMBEDDER).digest, (cohort,)).to_json())
    said = run(file, "--policy", policy)
    assert "similarity 0.95: good with probability" in said
    found = written(policy)
    assert found.of(CONFIDENCE, MODEL) is not None
    fitted = found.of(SIMILARITY, EMBEDDER)
    assert fitted is not None
    assert fitted.probability(0.9) < 0.9


def test_windows_under_one_map_count_together_and_of_different_models_do_not(policy: Path, tmp_path: Path) -> None:
    one, two = sums(tmp_path / "1.json", SAME, 1), sums(tmp_path / "2.json", SAME, 2)
    alone = json.loads(run(one, "--policy", policy, "--json"))["answers"]
    (policy / "calibration.json").unlink()
    assert json.loads(run(one, two, "--policy", policy, "--json"))["answers"] > 1.5 * alone
    with pytest.raises(InvalidRequest, match="different figures, models or maps"):
        run(one, sums(tmp_path / "3.json", SAME, 3, model="sha256:b"), "--policy", policy)


def test_what_is_refused_leaves_the_file_as_it_is(policy: Path, tmp_path: Path) -> None:
    file = sums(tmp_path / "sums.json", SAME, 1)
    run(file, "--policy", policy)
    before = (policy / "calibration.json").read_bytes()
    with pytest.raises(InvalidRequest, match="another map"):
        run(file, "--policy", policy)
    assert (policy / "calibration.json").read_bytes() == before
    assert sorted(path.name for path in policy.iterdir()) == ["calibration.json", "policy.cedar"]


def test_a_folder_that_is_no_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="name the folder"):
        run(sums(tmp_path / "sums.json", SAME, 1), "--policy", tmp_path)
