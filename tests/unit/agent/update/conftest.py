"""Devices that rollouts reach."""

import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.fakes.rollout_device import Device, World


@pytest.fixture(scope="module")
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
