"""What goes on beside the audit log: it is signed, what waits is written, what is old is forgotten."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from hub.audit.trail import HEAD_SECONDS, Trail
from hub.fleet.upkeep import EVENTS_SECONDS, SWEEP_SECONDS, every, forever, once


@asynccontextmanager
async def kept_signed(trail: Trail, age: timedelta) -> AsyncIterator[None]:
    """Keeps the log until the block ends, and signs it a last time."""
    works = (
        partial(every, EVENTS_SECONDS, trail.flush),
        partial(every, HEAD_SECONDS, trail.sign),
        partial(every, SWEEP_SECONDS, partial(trail.forget, age)),
    )
    tasks = [asyncio.create_task(forever(work)) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await once(trail.close)
