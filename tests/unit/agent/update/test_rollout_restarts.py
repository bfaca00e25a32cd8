"""A rollout goes on over restarts, and a version over which the agent falls is given up."""

import pytest

from agent.releases import State
from contract.errors import Reason, Unavailable
from seawall.hub.v1.rollout_pb2 import DesiredRelease
from tests.fakes.rollout_device import CONFIGURED, Behaviour, Cut, Device, World, prove

GIVE_BACK = DesiredRelease.GIVE_BACK
AWAY = Unavailable(Reason.RELEASE_UNAVAILABLE, "The link is down.")

pytestmark = pytest.mark.usefixtures("quick_collections")


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
