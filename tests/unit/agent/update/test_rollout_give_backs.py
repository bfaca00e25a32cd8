"""A version that is given back gives way to what served before."""

import pytest

from agent.releases import State
from agent.update.slots import SlotState
from contract.errors import NotFound, Reason, Unavailable
from seawall.hub.v1.rollout_pb2 import DesiredRelease
from tests.fakes.fleet_agent import eventually
from tests.fakes.rollout_device import CONFIGURED, Device, World, prove

GIVE_BACK = DesiredRelease.GIVE_BACK
AWAY = Unavailable(Reason.RELEASE_UNAVAILABLE, "The link is down.")

pytestmark = pytest.mark.usefixtures("quick_collections")


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
