"""From what people said on twenty devices to the bar of a signed policy: stores, a round, the hub's file, the fit, the policy read back."""

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import typer
from typer.testing import CliRunner

from agent.cache.similarity import SimilaritySettings
from agent.confidence import ConfidenceSettings
from agent.config import AgentSettings
from agent.learning.opening import confidence_of, similarity_of
from agent.policies.in_force import Chosen, choose
from agent.policies.kept import KeptPolicy
from benchmarks.calibration_fleet import made_up_fleet
from contract.calibration.maps import NO_CALIBRATIONS, Map
from contract.calibration.report import Report
from contract.calibration.sums import ANSWER_UNITS, NORM
from contract.errors import Reason
from contract.learning import NOISE_MULTIPLIER, windows_over
from contract.subjects import EMBEDDER, Confidence, Similarity
from hub.config import LearningSettings
from hub.learning.planning import Wanted
from hub.learning.rounds import By
from hub.store.learning import FAILED, SUCCEEDED
from models.calibrate_command import calibrate
from tests.fakes.learning_fleet import BY, MODEL, NOW, WINDOW, LearningFleet, learning_fleet
from tests.fakes.tuf_repository import version_of

SIZE, JUDGED = 20, 20
FEWEST_HONEST = 8
"""Of 20, of which 14 have to stay and 6 may collude."""
SUBJECT = Confidence(MODEL)
POLICY = '@id("all") permit (principal, action, resource);'
SETTINGS = ConfidenceSettings(bar=0.5, calibrated_bar=0.5)


def by(number: int) -> By:
    return By(BY.actor, f"{number}1111111-1111-4111-8111-111111111111")


app = typer.Typer()
app.command()(calibrate)


@pytest.fixture
async def fleet() -> AsyncIterator[LearningFleet]:
    with learning_fleet(SIZE, settings=LearningSettings(smallest_cohort=4, cohort=SIZE)) as made:
        await made.begin()
        await made.enroll()
        random = Random(1)
        for device, site in zip(made.devices.values(), made_up_fleet(SIZE, random), strict=True):
            await device.judge((site.window(random) * JUDGED)[:JUDGED])
        yield made


def signed(folder: Path, content: bytes) -> Chosen:
    """What devices have in force once the next calibration is fitted to sums, signed with the policy, and taken."""
    policy, sums = folder / "fleet-policy", folder / "sums.json"
    policy.mkdir()
    (policy / "policy.cedar").write_text(POLICY)
    sums.write_bytes(content)
    done = CliRunner().invoke(app, [str(sums), "--policy", str(policy)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    files = {file.name: file.read_bytes() for file in policy.iterdir()}
    kept, (index, _) = KeptPolicy(folder / "kept"), version_of({name: [file] for name, file in files.items()}, "1.0.0", "fleet")
    kept.keep(index, files)
    return choose(AgentSettings(privacy={"signed_policy": "fleet"}), kept)  # type: ignore[arg-type]


async def test_what_people_said_on_the_devices_comes_to_another_bar(fleet: LearningFleet, tmp_path: Path) -> None:
    ended = await fleet.play(Wanted(is_exact=True, subject=SUBJECT))
    [cohort] = ended.cohorts
    assert (ended.state, ended.window, cohort.contributors) == (SUCCEEDED, WINDOW, SIZE)
    assert cohort.sums == fleet.sum_of(iter(fleet.devices), SUBJECT)
    assert cohort.sums[2] == SIZE * JUDGED * ANSWER_UNITS
    rounds, _ = fleet.process()
    chosen = signed(tmp_path, await rounds.sums(ended.round_id))
    bar = SETTINGS.bar_for(MODEL, chosen.calibrations)
    assert bar != SETTINGS.bar_for(MODEL, NO_CALIBRATIONS) == SETTINGS.bar
    assert confidence_of(MODEL, chosen).in_force.probability(bar) == pytest.approx(SETTINGS.calibrated_bar)


async def test_once_a_map_is_in_force_answers_are_held_against_that_and_no_other(fleet: LearningFleet, tmp_path: Path) -> None:
    rounds, _ = fleet.process()
    first = await fleet.play(Wanted(is_exact=True, subject=SUBJECT))
    moved = confidence_of(MODEL, signed(tmp_path, await rounds.sums(first.round_id)))
    for device in fleet.devices.values():
        device.confidence = moved
    week = windows_over(NOW)[1]
    old = await fleet.play(Wanted(week, is_exact=True, subject=SUBJECT), by(2))
    assert (old.state, fleet.grid.refused) == (FAILED, {Reason.SCHEMA_UNKNOWN: SIZE})
    assert (await fleet.play(Wanted(week, is_exact=True, subject=moved), by(3))).state == SUCCEEDED


async def test_with_noise_the_file_says_of_how_much_all_survivors_parts_are(fleet: LearningFleet) -> None:
    rounds, _ = fleet.process()
    ended = await fleet.play(Wanted(subject=SUBJECT))
    [noisy] = Report.from_json(await rounds.sums(ended.round_id)).cohorts
    true = fleet.sum_of(iter(fleet.devices), SUBJECT)
    square = sum((value - exact) ** 2 for value, exact in zip(noisy.values, true, strict=True)) / len(true)
    assert 0.3 < square / noisy.variance < 2.5
    assert noisy.variance == pytest.approx((NOISE_MULTIPLIER * NORM) ** 2 * SIZE / FEWEST_HONEST)
    assert {device.ledger.account().rho for device in fleet.devices.values()} == {ended.cohorts[0].rho}


async def test_what_people_said_of_the_caches_answers_comes_to_another_threshold(tmp_path: Path) -> None:
    size, truth, random = 8, Map(3.0, -4.0), Random(1)
    settings = SimilaritySettings(calibrated_bar=0.9)
    with learning_fleet(size, settings=LearningSettings(smallest_cohort=4, cohort=size)) as fleet:
        await fleet.begin()
        await fleet.enroll()
        for device in fleet.devices.values():
            figures = [random.uniform(0.76, 0.99) for _ in range(40)]
            await device.recall([(figure, random.random() < truth.probability(figure)) for figure in figures])
        ended = await fleet.play(Wanted(is_exact=True, subject=Similarity(EMBEDDER)))
        assert ended.state == SUCCEEDED
        rounds, _ = fleet.process()
        chosen = signed(tmp_path, await rounds.sums(ended.round_id))
    in_force = similarity_of(chosen).in_force
    bar = settings.bar_for(EMBEDDER, chosen.calibrations)
    assert bar != settings.bar_for(EMBEDDER, NO_CALIBRATIONS) == settings.bar
    assert in_force.probability(bar) == pytest.approx(settings.calibrated_bar)
    assert abs(in_force.probability(0.8) - truth.probability(0.8)) < abs(0.8 - truth.probability(0.8)), "nearer than the figure itself"
