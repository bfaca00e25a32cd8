"""Keeps the policy in force up to date: looks for newer ones at the source, and for one that a technician has brought to the disk."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from agent.policies.in_force import PolicyInForce
from agent.policies.kept import KeptPolicy
from agent.policies.taking import Taken
from contract.errors import Busy, SeawallError, Unavailable

_JITTER = 0.1
"""The share by which pauses are longer, at most."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FollowingTimes:
    """How often it is looked; seconds.

    Args:
        source: between two looks at the source that could be asked.
        again: after one that could not.
        disk: between two looks at the disk, which cost nothing.
    """

    source: float = 3600.0
    again: float = 60.0
    disk: float = 5.0


class Following:
    """Follows a signed policy.

    Args:
        in_force: is told when another one is kept, and why one was refused.
        kept: the place of the signed one.
        take: looks for a newer one.
        randomness: returns a number from 0 to 1, so that not all agents ask at once.
        times: how often.
        sleep: waits.
    """

    def __init__(
        self,
        in_force: PolicyInForce,
        kept: KeptPolicy,
        take: Callable[[], Awaitable[Taken]],
        randomness: Callable[[], float],
        times: FollowingTimes | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._in_force = in_force
        self._kept = kept
        self._take = take
        self._randomness = randomness
        self._times = times or FollowingTimes()
        self._sleep = sleep
        self._seen = kept.stamp()

    async def run(self) -> None:
        """Goes on until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_at_source())
            group.create_task(self._look_at_disk())

    async def _look_at_source(self) -> None:
        while True:
            pause = self._times.source if await self.look() else self._times.again
            await self._sleep(pause * (1 + self._randomness() * _JITTER))

    async def look(self) -> bool:
        """Takes a newer policy where there is one. Returns whether the source could be asked."""
        try:
            taken = await self._take()
        except (Busy, Unavailable) as error:
            _log.info("the policy's source cannot be asked now", reason=error.reason)
            return False
        except SeawallError as error:
            self._in_force.refuse(f"{error.reason}: {error.message}")
            return True
        self._in_force.refuse("")
        if taken.changed:
            await self._put_in_force()
        return True

    async def _look_at_disk(self) -> None:
        while True:
            await self._sleep(self._times.disk)
            if self._kept.stamp() != self._seen:
                await self._put_in_force()

    async def _put_in_force(self) -> None:
        self._seen = self._kept.stamp()
        await asyncio.to_thread(self._in_force.refresh)
