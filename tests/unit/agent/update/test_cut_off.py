"""The power is cut at every step of a rollout, before and after what is done there: the next start goes on."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.releases import State
from agent.update.slots import SlotState
from seawall.hub.v1.rollout_pb2 import DesiredRelease
from tests.fakes.rollout_device import CONFIGURED, Cut, Device, World

MOST_VISITS = 20
"""More than any place is come to in one rollout."""


@pytest.fixture(autouse=True)
def quick_collections() -> Iterator[None]:
    """What is here already is looked through no more when a model is let go of."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


async def cut_and_go_on(world: World, device: Device, cut: Cut) -> tuple[Device, bool]:
    """Cuts the power once; returns the agent that was started again, and whether it came to that."""
    world.cut = cut
    was_cut = await device.until_cut()
    world.cut = None
    again = await device.again()
    assert again.models.away == ""
    assert not await again.until_cut()
    return again, was_cut


@pytest.mark.parametrize(("place", "both_fit"), [("store", True), ("load", True), ("load", False), ("bring", True)])
@pytest.mark.parametrize("is_after", [False, True])
async def test_a_version_is_taken_and_proven_wherever_the_power_is_cut(tmp_path: Path, place: str, is_after: bool, both_fit: bool) -> None:
    for number in range(MOST_VISITS):
        (tmp_path / str(number)).mkdir()
        world = World(tmp_path / str(number), both_fit=both_fit)
        device = await Device(world).start()
        await device.want("r1", 1)
        again, was_cut = await cut_and_go_on(world, device, Cut(place, number, is_after))
        assert (await again.report("r1")).state == State.PROVEN
        assert (again.serves, again.slots.record.entries["a"].state) == (1, SlotState.PROVEN)
        await again.stop()
        if not was_cut:
            assert number > 0, "it was never come to this place"
            return
    raise AssertionError("there is no end to it")


@pytest.mark.parametrize("place", ["store", "load"])
@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("is_proven", [True, False])
async def test_a_version_is_given_back_wherever_the_power_is_cut(tmp_path: Path, place: str, is_after: bool, is_proven: bool) -> None:
    for number in range(MOST_VISITS):
        (tmp_path / str(number)).mkdir()
        world = World(tmp_path / str(number))
        device = await Device(world).start()
        await device.want("r1", 1)
        await device.until("r1", State.ON_PROBATION)
        if is_proven:
            assert not await device.until_cut()
        world.cut = Cut(place, number, is_after)
        await device.want("r1", 1, DesiredRelease.GIVE_BACK)
        again, was_cut = await cut_and_go_on(world, device, world.cut)
        assert (await again.report("r1")).state == State.ROLLED_BACK
        assert again.serves == CONFIGURED
        await again.stop()
        if not was_cut:
            assert number > 0, "it was never come to this place"
            return
    raise AssertionError("there is no end to it")
