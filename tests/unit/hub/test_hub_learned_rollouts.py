"""Rollouts that read reports: devices' answers, summed by a round of the hub's own, halt a wave or let it go on."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta

import pytest

from contract.subjects import Confidence
from hub.learning.planning import Wanted
from hub.store.rollout_states import ACTIVE, ROLLING_BACK
from hub.store.rollouts import RolloutRecord
from seawall.hub.v1 import rollout_pb2
from tests.fakes.learning_fleet import NOW, WINDOW, LearningFleet, learning_fleet
from tests.fakes.rollouts import HERE, NOON, VERSION, RolloutStore, rollout, wave

OLD, NEW, ALIKE = (f"sha256:{digit}{'0' * 63}" for digit in ("3", "b", "b"))
OLD_VERSION = "models/x/versions/1.0.0"
CANARIES, SIZE = 3, 8
SOAK = timedelta(days=7)
GATES = rollout_pb2.Gates(max_learned_negative_share_rise=0.1)
GOOD, BAD = [(0.9, True)] * 27 + [(0.9, False)] * 3, [(0.9, True)] * 15 + [(0.9, False)] * 15


@pytest.fixture
def fleet() -> Iterator[LearningFleet]:
    with learning_fleet(SIZE) as made:
        yield made


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[RolloutStore]:
    result = RolloutStore(database_url)
    yield result
    result.database.close()


async def judged(
    fleet: LearningFleet, store: RolloutStore, of_new: list[tuple[float, bool]], old: str = OLD, others: str = OLD_VERSION
) -> None:
    """Has people judge all devices' answers, and the hub know the devices: the first of them serve the new version."""
    fleet.database.close()
    fleet.database = store.database
    for number, device in enumerate(fleet.devices.values()):
        digest = NEW if number < CANARIES else old
        device.confidence = Confidence(digest)
        await device.judge(of_new if number < CANARIES else GOOD, model_digest=digest)
    await fleet.begin()
    regions = ["canary"] * CANARIES + ["rest"] * (SIZE - CANARIES)
    await fleet.enroll(lambda number: VERSION if number < CANARIES else others, regions.__getitem__)


async def soaked(fleet: LearningFleet, store: RolloutStore, *, begin: datetime = NOON, is_exact: bool = True) -> RolloutRecord:
    """Rolls out from a time on, has the canaries prove the version, plays a round, and waits until the first wave has soaked."""
    store.now = begin
    await store.create(rollout(wave("labels.region = canary", soak=SOAK), wave("labels.region = rest"), gates=GATES))
    for agent_id in [*fleet.devices][:CANARIES]:
        await store.move(agent_id, HERE)
        await store.report(agent_id, "PROVEN")
    await fleet.play(Wanted(is_exact=is_exact))
    await store.wait(SOAK)
    return (await store.rollouts.get("june")).record


async def test_a_version_whose_answers_the_fleet_calls_bad_goes_no_further_and_goes_back(fleet: LearningFleet, store: RolloutStore) -> None:
    await judged(fleet, store, BAD)
    ended = await soaked(fleet, store)
    assert (ended.state, ended.current_wave) == (ROLLING_BACK, 0)
    said = f"Wave 0: learned_negative_share_rise: by the report of {WINDOW} it has gone from 0.105 to 0.5, up by 0.395 ± 0.12; at most 0.1"
    assert ended.reason.startswith(said)
    assert set(await store.told()) == {*[*fleet.devices][:CANARIES]}


async def test_a_version_whose_answers_are_as_good_goes_on_without_a_word(fleet: LearningFleet, store: RolloutStore) -> None:
    await judged(fleet, store, GOOD * 2)
    went_on = await soaked(fleet, store)
    assert (went_on.state, went_on.current_wave, went_on.reason) == (ACTIVE, 1, "")
    assert set(await store.told()) == {*fleet.devices}


async def test_two_versions_that_are_counted_alike_cannot_be_told_apart_and_it_is_said(fleet: LearningFleet, store: RolloutStore) -> None:
    await judged(fleet, store, BAD, old=ALIKE[:-1] + "1")
    went_on = await soaked(fleet, store)
    assert went_on.current_wave == 1
    assert went_on.reason.endswith("is not known: it and the version before it are counted in one bucket, model.11.")


async def test_a_week_that_was_over_before_the_wave_began_says_nothing_of_it(fleet: LearningFleet, store: RolloutStore) -> None:
    await judged(fleet, store, BAD)
    went_on = await soaked(fleet, store, begin=NOW)
    assert went_on.current_wave == 1
    assert went_on.reason.endswith("is not known: no week that ended since the wave began has a report.")


async def test_the_noise_of_a_small_fleets_sum_breaks_no_gate(fleet: LearningFleet, store: RolloutStore) -> None:
    await judged(fleet, store, BAD)
    went_on = await soaked(fleet, store, is_exact=False)
    assert went_on.current_wave == 1
    assert went_on.reason.endswith(f"is not known: the report of {WINDOW} counts too few answers that people called good or bad.")


async def test_where_nobody_serves_another_version_there_is_nothing_to_hold_it_against(fleet: LearningFleet, store: RolloutStore) -> None:
    await judged(fleet, store, BAD, others=VERSION)
    went_on = await soaked(fleet, store)
    assert went_on.current_wave == 1
    assert went_on.reason.endswith("is not known: no agents serve another version of the model beside it.")
