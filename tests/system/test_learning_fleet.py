"""Two hundred devices and their hub in one process, with losses at every stage: what the sums are, and what they cost."""

import resource
from time import process_time

import pytest

from contract.subjects import USAGE
from hub.config import LearningSettings
from hub.learning.planning import Wanted
from hub.store.learning import SUCCEEDED
from tests.fakes.grid import dice
from tests.fakes.learning_fleet import LearningFleet, learning_fleet
from tests.unit.hub.learning.test_rounds import check_exact

SIZE = 200
CHANCE = 0.03
"""Of being lost at each stage: of five stages, one device in seven."""


async def used(fleet: LearningFleet) -> None:
    await fleet.begin()
    await fleet.enroll(lambda number: "ab"[number % 2], lambda number: str(number % 3))
    for number, device in enumerate(fleet.devices.values()):
        await device.use(number % 3)


@pytest.mark.system
@pytest.mark.parametrize("seed", range(3))
async def test_sums_of_200_devices_that_are_lost_at_every_stage_are_exact(seed: int) -> None:
    settings = LearningSettings(smallest_cohort=4, cohort=20)
    with learning_fleet(SIZE, roll=dice(seed, CHANCE), settings=settings) as fleet:
        await used(fleet)
        begin = process_time()
        ended = await fleet.play(Wanted(group_by=("model",), is_exact=True))
        seconds, kib = process_time() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{SIZE} devices and the hub: {seconds:.1f} s of processor time, {kib / 1024:.0f} MiB at most")
        assert check_exact(fleet, ended.cohorts) == len(ended.cohorts) == 4


@pytest.mark.system
async def test_sums_of_200_devices_with_noise_are_right_within_it() -> None:
    settings = LearningSettings(smallest_cohort=4, cohort=20)
    with learning_fleet(SIZE, settings=settings) as fleet:
        await used(fleet)
        ended = await fleet.play(Wanted(group_by=("labels.region",)))
        assert [cohort.state for cohort in ended.cohorts] == [SUCCEEDED] * len(ended.cohorts)
        true = fleet.sum_of(iter(fleet.devices))
        sums = [sum(column) for column in zip(*(cohort.sums for cohort in ended.cohorts), strict=True)]
        variance = sum(cohort.variance for cohort in ended.cohorts)
        square = sum((noisy - exact) ** 2 for noisy, exact in zip(sums, true, strict=True)) / USAGE.entries
        assert 0.6 < square / variance < 1.5
