"""What rollouts want is done, whatever goes wrong on the way."""

import asyncio

import pytest
from structlog.testing import capture_logs

from agent.releases import State
from agent.update.slots import SlotState
from contract import health
from contract.errors import InvalidRequest, NotFound, NotPossibleNow, Reason, Unavailable
from seawall.hub.v1.rollout_pb2 import DesiredRelease
from tests.fakes.fleet_agent import eventually
from tests.fakes.rollout_device import CONFIGURED, Behaviour, Device, World, prove

GIVE_BACK = DesiredRelease.GIVE_BACK
AWAY = Unavailable(Reason.RELEASE_UNAVAILABLE, "The link is down.")

pytestmark = pytest.mark.usefixtures("quick_collections")


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


async def test_what_serves_already_is_proven_at_once(device: Device) -> None:
    await device.want("r1", CONFIGURED)
    report = await device.until("r1", State.PROVEN)
    assert report.detail == "It serves already."


async def test_a_later_rollout_waits_for_the_end_of_a_probation(world: World, device: Device) -> None:
    await device.want("r1", 1)
    await device.until("r1", State.ON_PROBATION)
    await device.want("r2", 2)
    device.answers(4)
    world.seconds += 100
    await device.until("r1", State.PROVEN)
    await device.until("r2", State.ON_PROBATION)
    assert device.serves == 2


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
