"""What the hub does by itself, now and then."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import structlog

from contract.errors import Unavailable

EVENTS_SECONDS = 1.0
"""What was noted is kept this often."""

SWEEP_SECONDS = 30.0
"""Overdue commands and old events are looked for this often."""

STALE_SECONDS = 3.0
"""Sessions that have expired, or fallen silent, are looked for this often: by one look at all, so that a heartbeat costs no timer."""

SILENT_HEARTBEATS = 3
"""After so many intervals without a message a session ends."""

RESTART_SECONDS = 1.0

Work = Callable[[], Awaitable[object]]

_log = structlog.get_logger(__name__)


async def every(seconds: float, work: Work) -> None:
    """Does work again and again, until it is cancelled. A store that is away is tried again the next time."""
    while True:
        await asyncio.sleep(seconds)
        await once(work)


async def once(work: Work) -> None:
    """Does work, unless the store is away."""
    try:
        await work()
    except Unavailable as error:
        _log.warning("upkeep put off", reason=error.reason)


async def forever(work: Work) -> None:
    """Begins work that never ends anew when it breaks, and says where it broke."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  # the outermost boundary of a task that nobody waits for
            frame = traceback.extract_tb(error.__traceback__)[-1]
            _log.error("upkeep broke", error=type(error).__name__, at=f"{frame.filename}:{frame.lineno}")
        await asyncio.sleep(RESTART_SECONDS)


@asynccontextmanager
async def beside(works: Sequence[Work]) -> AsyncIterator[None]:
    """Has works that never end go on until the block ends."""
    tasks = [asyncio.create_task(forever(work)) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
