"""Rounds from end to end: real devices behind a grid that loses, the hub's store, what is kept of each."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.learning import ENTRIES
from hub.learning.planning import Wanted
from hub.store.learning import SUCCEEDED
from tests.fakes.learning_fleet import WINDOW, LearningFleet, learning_fleet


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[LearningFleet]:
    with learning_fleet(tmp_path, 8) as made:
        await made.begin()
        await made.enroll()
        for number, device in enumerate(made.devices.values()):
            await device.use(number)
        yield made


async def test_a_sum_without_noise_is_that_of_what_the_devices_have_counted(fleet: LearningFleet) -> None:
    ended = await fleet.play(Wanted(is_exact=True))
    assert (ended.state, ended.window, len(ended.cohorts)) == (SUCCEEDED, WINDOW, 1)
    [cohort] = ended.cohorts
    assert (cohort.contributors, len(cohort.sums)) == (8, ENTRIES)
    assert cohort.sums == fleet.sum_of(iter(fleet.devices))
    assert cohort.sums[0] == sum(range(8))
