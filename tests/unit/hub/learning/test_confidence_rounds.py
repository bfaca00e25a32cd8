"""What the hub does otherwise in a round of confidence or similarity: whom it asks, what it remembers, and who may read what it came to."""

from collections.abc import AsyncIterator

import pytest

from contract.calibration.maps import SIMILARITY, Map
from contract.calibration.report import Report
from contract.errors import Reason
from contract.subjects import EMBEDDER, USAGE, Confidence, Similarity
from hub.learning.planning import Wanted
from hub.learning.rounds import By
from hub.store.learning import FAILED, SUCCEEDED
from tests.fakes.grid import Fate
from tests.fakes.learning_fleet import BY, MODEL, WINDOW, LearningFleet, learning_fleet
from tests.fakes.secagg_cohort import refused

SIZE = 8
SUBJECT = Confidence(MODEL)
OTHER = "sha256:" + "1" * 64


def by(number: int) -> By:
    return By(BY.actor, f"{number}1111111-1111-4111-8111-111111111111")


@pytest.fixture
async def fleet() -> AsyncIterator[LearningFleet]:
    with learning_fleet(SIZE) as made:
        for number, device in enumerate(made.devices.values()):
            await device.judge([(0.7, number % 2 == 0)])
        await made.begin()
        yield made


async def test_agents_that_have_another_model_are_not_asked(fleet: LearningFleet) -> None:
    for name in ("agent-002", "agent-005"):
        fleet.devices[name].confidence = Confidence(OTHER)
    await fleet.enroll()
    ended = await fleet.play(Wanted(is_exact=True, subject=SUBJECT))
    assert fleet.grid.gathered == [set(fleet.devices) - {"agent-002", "agent-005"}]
    assert ended.cohorts[0].contributors == SIZE - 2
    with refused(Reason.COHORT_TOO_SMALL):
        await fleet.play(Wanted(is_exact=True, subject=Confidence(OTHER)), by(2))


async def test_a_week_is_asked_for_once_of_each_subject_whatever_the_map(fleet: LearningFleet) -> None:
    await fleet.enroll()
    assert (await fleet.play(Wanted(is_exact=True, subject=SUBJECT))).state == SUCCEEDED
    for again in (SUBJECT, Confidence(MODEL, Map(2.0, 0.0))):
        with refused(Reason.COHORT_TOO_SMALL):
            await fleet.play(Wanted(is_exact=True, subject=again), by(2))
    assert (await fleet.play(Wanted(is_exact=True), by(3))).state == SUCCEEDED


async def test_the_report_of_use_leaves_confidence_out_and_the_file_of_sums_has_it_alone(fleet: LearningFleet) -> None:
    await fleet.enroll()
    rounds, _ = fleet.process()
    ended = await fleet.play(Wanted(is_exact=True, subject=SUBJECT))
    assert await rounds.report(WINDOW, []) == []
    report = Report.from_json(await rounds.sums(ended.round_id))
    assert (report.model, report.schema) == (MODEL, SUBJECT.digest)
    [cohort] = report.cohorts
    assert (cohort.devices, cohort.values, cohort.variance) == (SIZE, ended.cohorts[0].sums, 0.0)
    use = await fleet.play(Wanted(is_exact=True), by(2))
    [group] = await rounds.report(WINDOW, [])
    assert (group.contributors, len(group.sums)) == (SIZE, USAGE.entries)
    with refused(Reason.FIELD_INVALID):
        await rounds.sums(use.round_id)


async def test_a_cohort_without_a_sum_is_not_in_the_file_and_a_round_without_any_has_none(fleet: LearningFleet) -> None:
    fleet.grid.roll = lambda agent, _: Fate.LOST if agent != "agent-000" else Fate.CARRIED
    await fleet.enroll()
    rounds, _ = fleet.process()
    ended = await fleet.play(Wanted(is_exact=True, subject=SUBJECT))
    assert ended.state == FAILED
    with refused(Reason.ROUND_SHORT):
        await rounds.sums(ended.round_id)
    with refused(Reason.ROUND_NOT_FOUND):
        await rounds.sums("2026-w47-00000000")


async def test_similarity_is_asked_of_all_whatever_their_model_and_its_file_is_of_the_embedder(fleet: LearningFleet) -> None:
    fleet.devices["agent-002"].confidence = Confidence(OTHER)
    for device in fleet.devices.values():
        await device.recall([(0.9, True)])
    await fleet.enroll()
    rounds, _ = fleet.process()
    subject = Similarity(EMBEDDER)
    ended = await fleet.play(Wanted(is_exact=True, subject=subject))
    assert fleet.grid.gathered == [set(fleet.devices)]
    report = Report.from_json(await rounds.sums(ended.round_id))
    assert (report.score, report.model, report.schema) == (SIMILARITY, EMBEDDER, subject.digest)
    assert [cohort.answers for cohort in report.cohorts] == [SIZE]
    assert await rounds.report(WINDOW, []) == []
    with refused(Reason.FIELD_INVALID):
        await rounds.create(Wanted(subject=Similarity("all-minilm")), by(2))


@pytest.mark.parametrize("model", ["", "models/tiny/versions/1", "sha256:" + "A" * 64, OTHER + "0"])
async def test_what_is_no_digest_names_no_model(fleet: LearningFleet, model: str) -> None:
    await fleet.enroll()
    rounds, _ = fleet.process()
    with refused(Reason.FIELD_INVALID):
        await rounds.create(Wanted(subject=Confidence(model)), BY)
