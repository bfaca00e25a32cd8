"""Which of the hub's processes plays rounds: one at a time."""

import asyncio
from typing import Never

import structlog

from hub.store.database import Database
from hub.store.engines import LEARNING
from hub.store.holding import Pace

_log = structlog.get_logger(__name__)


class Role:
    """Whether it is this one.

    Args:
        database: that the processes share.
        pace: how often they look who has it.
    """

    def __init__(self, database: Database, pace: Pace = Pace()) -> None:  # noqa: B008  # it is frozen
        self._database = database
        self._pace = pace
        self._is_held = False
        self._changed = asyncio.Event()

    @property
    def is_held(self) -> bool:
        """Whether this process plays rounds now."""
        return self._is_held

    async def held(self) -> None:
        """Waits until this process has the role."""
        while not self._is_held:
            await self._changed.wait()

    async def run(self) -> Never:
        """Takes the role when it is free, until cancelled."""
        await self._database.hold(LEARNING, self._tell, self._pace)

    def _tell(self, is_held: bool) -> None:
        if is_held != self._is_held:
            _log.info("this process plays rounds of learning" if is_held else "this process plays no rounds of learning any more")
        self._is_held = is_held
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
