"""What goes on beside the audit log: it is signed, what waits is written, what is old is forgotten."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from hub.audit.trail import HEAD_SECONDS, Trail
from hub.fleet.upkeep import EVENTS_SECONDS, SWEEP_SECONDS, beside, every, once


@asynccontextmanager
async def kept_signed(trail: Trail, age: timedelta) -> AsyncIterator[None]:
    """Keeps the log until the block ends, and signs it a last time."""
    works = (
        partial(every, EVENTS_SECONDS, trail.flush),
        partial(every, HEAD_SECONDS, trail.sign),
        partial(every, SWEEP_SECONDS, partial(trail.forget, age)),
    )
    try:
        async with beside(works):
            yield
    finally:
        await once(trail.close)
