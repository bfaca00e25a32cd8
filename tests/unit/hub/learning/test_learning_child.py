"""The hub's child, when a part of it breaks that all cohorts need."""

import asyncio
import os

import pytest

from hub.learning.child import Child
from hub.learning.front import Front


class Breaks(Front):
    """Has no memory left to look who is there."""

    def look(self) -> None:
        raise MemoryError


async def test_a_child_whose_upkeep_breaks_ends() -> None:
    child = Child(os.dup(2))
    child._door.fronts[1] = Breaks(lambda _: None)
    with pytest.raises(MemoryError):
        await asyncio.wait_for(child.run(asyncio.StreamReader()), 20)
