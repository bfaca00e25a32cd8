"""What rollouts want is done, whatever goes wrong on the way."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.releases import State
from agent.update.slots import SlotState
from contract import health
from contract.errors import InvalidRequest, NotFound, NotPossibleNow, Reason, Unavailable
from seawall.hub.v1.rollout_pb2 import DesiredRelease
from tests.fakes.fleet_agent import eventually
from tests.fakes.rollout_device import CONFIGURED, Behaviour, Cut, Device, World

GIVE_BACK = DesiredRelease.GIVE_BACK
AWAY = Unavailable(Reason.RELEASE_UNAVAILABLE, "The link is down.")


@pytest.fixture(autouse=True, scope="module")
def quick_collections() -> Iterator[None]:
    """What is here already is looked through no more when a model is let go of."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
async def device(world: World) -> AsyncIterator[Device]:
    yield await Device(world).start()
    for running in [*world.devices]:
        await running.stop()


async def prove(device: Device, rollout: str, version: int) -> None:
    await device.want(rollout, version)
    await device.until(rollout, State.ON_PROBATION)
    device.answers(4)
    device.world.seconds += 100
    await device.until(rollout, State.PROVEN)
    assert device.serves == version


@pytest.mark.parametrize("both_fit", [True, False])
async def test_a_good_version_serves_without_a_restart_and_is_proven_by_live_answers(world: World, device: Device, both_fit: bool) -> None:
    world.both_fit = both_fit
    device.answers(10)
    await device.want("r1", 1)
    await device.until("r1", State.ON_PROBATION)
    assert (device.serves, device.deployment.slot) == (1, "a")
    device.answers(4)
    world.seconds += 100
    report = await device.until("r1", State.PROVEN)
    assert device.slots.record.entries["a"].state is SlotState.PROVEN
    assert report.figures[health.PERPLEXITY_RATIO] == pytest.approx(1)
    assert report.figures[health.ERROR_SHARE] == 0
    assert device.states == ["fetching", "checking", "on_probation", "proven"]


@pytest.mark.parametrize(
    ("behaviour", "figure", "says"),
    [
        (Behaviour(probability=0.3), health.PERPLEXITY_RATIO, "perplexity_ratio is 3; at most 1.5"),
        (Behaviour(breaks=True), "", "It cannot be run here: The model failed"),
        (Behaviour(cannot_load=True), "", "It cannot be run here: It is no graph"),
    ],
)
@pytest.mark.parametrize("both_fit", [True, False])
async def test_a_bad_version_never_serves_and_its_slot_is_freed(
    world: World, device: Device, behaviour: Behaviour, figure: str, says: str, both_fit: bool
) -> None:
    world.both_fit = both_fit
    world.behaviours["1"] = behaviour
    await device.want("r1", 1)
    report = await device.until("r1", State.REFUSED)
    assert report.failed_figure == figure
    assert says in report.detail
    assert device.serves == CONFIGURED
    assert device.slots.record.entries["a"].state is SlotState.EMPTY
    await device.want("r1", 1)
    await prove(device, "r2", 2)
    assert world.brought == ["1", "2"], "what was refused is not tried again under the same rollout"


@pytest.mark.parametrize(
    ("answers", "unsure", "errors", "figure"),
    [(3, 0, 1, health.ERROR_SHARE), (8, 8, 0, health.ESCALATION_SHARE_RISE)],
)
async def test_a_version_that_does_badly_with_live_prompts_is_given_up(
    device: Device, answers: int, unsure: int, errors: int, figure: str
) -> None:
    device.answers(50, unsure=5)
    await device.want("r1", 1)
    await device.until("r1", State.ON_PROBATION)
    device.answers(answers, unsure, errors)
    report = await device.until("r1", State.ROLLED_BACK)
    assert report.failed_figure == figure
    assert report.figures[figure] > report.limits[figure]
    assert device.serves == CONFIGURED
    await device.want("r1", 1)
    again = await device.again()
    assert again.serves == CONFIGURED
    assert (await again.report("r1")).state == State.ROLLED_BACK


async def test_a_rise_that_chance_explains_proves_nothing_against_a_version(world: World, device: Device) -> None:
    device.answers(20, unsure=5)
    await device.want("r1", 1)
    await device.until("r1", State.ON_PROBATION)
    device.answers(4, unsure=2)
    world.seconds += 100
    report = await device.until("r1", State.PROVEN)
    assert report.figures[health.ESCALATION_SHARE_RISE] == pytest.approx(0.25)


async def test_bad_words_of_people_give_a_version_up(device: Device) -> None:
    device.answers(50)
    await device.want("r1", 1)
    await device.until("r1", State.ON_PROBATION)
    device.answers(8)
    digest = device.models.bundle.digest()
    rows = [{"receipt_id": str(number), "model_digest": digest, "is_good": 0, "create_time": 0.0} for number in range(6)]
    await device.database.run(lambda tables: tables.table("feedback").insert_all(rows))
    report = await device.until("r1", State.ROLLED_BACK)
    assert report.failed_figure == health.NEGATIVE_SHARE_RISE


async def test_what_was_counted_is_written_while_nothing_is_wanted_and_a_full_disk_ends_nothing(device: Device) -> None:
    digest = device.models.bundle.digest()
    await device.database.run(lambda tables: tables.execute("PRAGMA query_only = ON"))
    device.answers(3)
    with capture_logs() as logs:
        writing = asyncio.create_task(device.worker.write_counts())
        await eventually(lambda: "what was counted cannot be kept" in [line["event"] for line in logs])
    await device.database.run(lambda tables: tables.execute("PRAGMA query_only = OFF"))

    async def are_written() -> bool:
        return (await device.live.of(digest)).answers == 3

    await eventually(are_written)
    writing.cancel()


async def test_where_prompts_are_rare_the_limit_ends_the_probation(world: World, device: Device) -> None:
    await device.want("r1", 1)
    await device.until("r1", State.ON_PROBATION)
    world.seconds += 90_000
    await device.until("r1", State.PROVEN)


@pytest.mark.parametrize(
    "trouble",
    [
        AWAY,
        NotPossibleNow(Reason.DISK_FULL, "The disk is full."),
        NotFound(Reason.RELEASE_NOT_FOUND, "Not there yet."),
        InvalidRequest(Reason.RELEASE_EXPIRED, "Too old."),
    ],
)
async def test_trouble_that_may_pass_is_told_and_waited_for(world: World, device: Device, trouble: Unavailable) -> None:
    world.trouble = trouble
    await device.want("r1", 1)
    report = await device.until("r1", State.WAITING)
    while not report.detail:
        report = await device.report("r1")
    assert report.detail == trouble.message
    world.trouble = None
    await device.until("r1", State.ON_PROBATION)


async def test_a_disk_that_is_full_when_it_is_to_serve_is_no_fault_of_the_version(device: Device) -> None:
    device.slots.is_full = True
    await device.want("r1", 1)
    while "disk is full" not in (report := await device.report("r1")).detail:
        pass
    assert report.state == State.WAITING
    device.slots.is_full = False
    await device.until("r1", State.ON_PROBATION)
    assert device.serves == 1


async def test_while_the_command_holds_the_slots_a_rollout_waits(world: World, device: Device) -> None:
    other = Device(world)
    with other.slots.held():
        await device.want("r1", 1)
        while "another update" not in (await device.report("r1")).detail:
            pass
    await device.until("r1", State.ON_PROBATION)


async def test_a_probation_that_a_person_must_end_comes_first(world: World, device: Device) -> None:
    other = Device(world)
    await other._bring(other.slots.start(), "tiny", "5", lambda _: None)
    other.slots.switch()
    await device.want("r1", 1)
    while "--keep" not in (await device.report("r1")).detail:
        pass
    assert device.serves == CONFIGURED
    other.slots.prove()
    await device.until("r1", State.ON_PROBATION)


async def test_what_is_given_back_on_probation_is_what_served_before(device: Device) -> None:
    await prove(device, "r1", 1)
    await device.want("r2", 2)
    await device.until("r2", State.ON_PROBATION)
    await device.want("r2", 2, GIVE_BACK)
    await device.until("r2", State.ROLLED_BACK)
    assert device.serves == 1


async def test_what_is_given_back_after_it_was_proven_is_what_served_before(device: Device) -> None:
    await prove(device, "r1", 1)
    await device.want("r1", 1, GIVE_BACK)
    await device.until("r1", State.ROLLED_BACK)
    assert device.serves == CONFIGURED
    await prove(device, "r2", 2)
    await prove(device, "r3", 3)
    await device.want("r3", 3, GIVE_BACK)
    await device.until("r3", State.ROLLED_BACK)
    assert device.serves == 2
    assert device.world.brought == ["1", "2", "3"], "it was still here"


async def test_what_served_before_is_fetched_again_where_its_slot_was_reclaimed(world: World, device: Device) -> None:
    await prove(device, "r1", 1)
    await prove(device, "r2", 2)
    device.slots.reclaim()
    world.trouble = AWAY
    await device.want("r2", 2, GIVE_BACK)
    while (await device.report("r2")).detail != AWAY.message:
        pass
    assert device.serves == 2
    world.trouble = None
    await device.until("r2", State.ROLLED_BACK)
    assert device.serves == 1
    assert device.slots.record.entries[device.slots.record.current].state is SlotState.PROVEN


async def test_what_nobody_vouches_for_any_more_gives_way_to_the_configurations_bundle(world: World, device: Device) -> None:
    await prove(device, "r1", 1)
    await prove(device, "r2", 2)
    device.slots.reclaim()
    world.trouble = NotFound(Reason.RELEASE_NOT_FOUND, "Withdrawn.")
    await device.want("r2", 2, GIVE_BACK)
    await device.until("r2", State.ROLLED_BACK)
    assert device.serves == CONFIGURED


async def test_giving_back_what_is_still_fetched_ends_that(world: World, device: Device) -> None:
    world.trouble = AWAY
    await device.want("r1", 1)
    await device.until("r1", State.WAITING)
    await device.want("r1", 1, GIVE_BACK)
    report = await device.until("r1", State.ROLLED_BACK)
    assert report.detail == "Nothing of it was taken here."
    assert (device.serves, world.brought) == (CONFIGURED, [])


async def test_giving_back_in_the_moment_in_which_the_checks_end_is_not_missed(world: World, device: Device) -> None:
    async def give_back() -> None:
        world.may_know.clear()
        await device.want("r1", 1, GIVE_BACK)
        await eventually(lambda: not device.releases.wanted.is_set())

    device.checks.then = give_back
    await device.want("r1", 1)
    await device.until("r1", State.ON_PROBATION)
    world.may_know.set()
    await device.until("r1", State.ROLLED_BACK)
    assert device.serves == CONFIGURED


async def test_what_serves_already_is_proven_at_once(device: Device) -> None:
    await device.want("r1", CONFIGURED)
    report = await device.until("r1", State.PROVEN)
    assert report.detail == "It serves already."


async def test_what_served_before_a_rollout_stays_when_that_is_rolled_back(device: Device) -> None:
    await prove(device, "r1", 1)
    await prove(device, "r2", 2)
    await device.want("r3", 2)
    await device.until("r3", State.PROVEN)
    await device.want("r3", 2, GIVE_BACK)
    await device.until("r3", State.ROLLED_BACK)
    assert device.serves == 2


async def test_an_emptied_store_goes_back_to_what_the_other_slot_has(device: Device) -> None:
    await prove(device, "r1", 1)
    await prove(device, "r2", 2)
    await device.database.run(lambda tables: tables.execute("DELETE FROM rollouts"))
    await device.want("r2", 2, GIVE_BACK)
    await device.until("r2", State.ROLLED_BACK)
    assert device.serves == 1


async def test_a_later_rollout_waits_for_the_end_of_a_probation(world: World, device: Device) -> None:
    await device.want("r1", 1)
    await device.until("r1", State.ON_PROBATION)
    await device.want("r2", 2)
    device.answers(4)
    world.seconds += 100
    await device.until("r1", State.PROVEN)
    await device.until("r2", State.ON_PROBATION)
    assert device.serves == 2


async def test_a_restart_goes_on_with_a_probation_and_what_was_counted(world: World, device: Device) -> None:
    device.answers(10)
    await device.want("r1", 1)
    await device.until("r1", State.ON_PROBATION)
    device.answers(3)
    await device.traffic.write(device.live)
    again = await device.again()
    assert again.serves == 1
    again.answers(1)
    await again.until_well_started("r1")
    world.seconds += 100
    await again.until("r1", State.PROVEN)


async def test_three_starts_that_come_to_nothing_give_a_version_up(device: Device) -> None:
    await device.want("r1", 1)
    await device.until("r1", State.ON_PROBATION)
    now = device
    for _ in range(3):
        now = await now.again()
        assert now.serves == 1
    now = await now.again()
    assert now.serves == CONFIGURED
    report = await now.until("r1", State.ROLLED_BACK)
    assert "3 times" in report.detail


async def test_restarts_in_order_are_no_fault_of_a_version_that_is_compared_but_falls_are(device: Device) -> None:
    await prove(device, "r1", 1)
    await device.want("r2", 2, shadow_percent=100, shadow_answers=50)
    now = device
    for _ in range(5):
        await now.until("r2", State.SHADOWING)
        now = await now.restart()
    for _ in range(2):
        await now.until("r2", State.SHADOWING)
        now = await now.again()
    await now.until("r2", State.SHADOWING)
    now = await now.again()
    assert "fell 3 times" in (await now.until("r2", State.REFUSED)).detail
    assert now.serves == 1


async def test_a_version_that_was_damaged_before_its_probation_was_noted_is_not_called_proven(world: World, device: Device) -> None:
    await prove(device, "r1", 1)
    world.cut = Cut("load", 1, is_after=False)
    await device.want("r2", 2)
    assert await device.until_cut()
    world.cut = None
    await device.stop()
    damaged = device.slots.bundle
    assert damaged is not None
    (damaged / "bundle.json").write_bytes(b"")
    again = await Device(world).start()
    assert again.serves == 1
    await again.until("r2", State.ON_PROBATION)
    assert again.serves == 2


async def test_a_start_that_brought_an_answer_or_lasted_is_none_of_the_three(world: World, device: Device) -> None:
    await device.want("r1", 1)
    await device.until("r1", State.ON_PROBATION)
    now = device
    for number in range(8):
        now = await now.again()
        world.seconds += 61 * (number % 2)
        now.answers(1 - number % 2)
        await now.until_well_started("r1")
        assert now.serves == 1


async def test_a_version_over_which_the_agent_falls_while_it_checks_it_is_refused(device: Device) -> None:
    await device.want("r1", 1, shadow_percent=100)
    await device.until("r1", State.SHADOWING)
    now = device
    for _ in range(2):
        now = await now.again()
        await now.until("r1", State.SHADOWING)
    now = await now.again()
    assert (await now.report("r1")).state == State.REFUSED
    assert now.serves == CONFIGURED


async def test_a_version_that_cannot_be_loaded_at_the_next_start_is_rolled_back(world: World, device: Device) -> None:
    await device.want("r1", 1)
    await device.until("r1", State.ON_PROBATION)
    world.behaviours["1"] = Behaviour(cannot_load=True)
    now = await device.again()
    report = await now.until("r1", State.ROLLED_BACK)
    assert "could not be loaded" in report.detail
    assert now.serves == CONFIGURED


async def test_a_shadow_run_refuses_a_version_that_says_something_else(world: World, device: Device) -> None:
    world.behaviours["1"] = Behaviour(words=("something ", "else"))
    await device.want("r1", 1, shadow_percent=100, shadow_answers=2, min_shadow_agreement=0.5)
    await device.until("r1", State.SHADOWING)
    assert device.serves == CONFIGURED
    device.answers(2)
    report = await device.until("r1", State.REFUSED)
    assert (report.failed_figure, report.figures[health.SHADOW_AGREEMENT]) == (health.SHADOW_AGREEMENT, 0)


async def test_a_shadow_run_lets_a_version_pass_that_says_the_same(device: Device) -> None:
    await device.want("r1", 1, shadow_percent=100, shadow_answers=2, min_shadow_agreement=0.9)
    await device.until("r1", State.SHADOWING)
    device.answers(2)
    report = await device.until("r1", State.ON_PROBATION)
    assert report.figures[health.SHADOW_AGREEMENT] == 1


async def test_a_rollout_that_makes_no_sense_is_passed_over(device: Device) -> None:
    for wanted in (
        DesiredRelease(rollout="rollouts/../x", model_version="models/a/versions/1", action=DesiredRelease.TAKE),
        DesiredRelease(rollout="rollouts/x", model_version="models/a", action=DesiredRelease.TAKE),
        DesiredRelease(rollout="rollouts/x", model_version="models/a/versions/1"),
    ):
        await device.releases.want(wanted)
    assert await device.releases.newest() is None
