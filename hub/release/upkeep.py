"""Keeps what the hub signs by itself fresh, while it runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from hub.fleet.upkeep import every, forever, once
from hub.release.repository import RENEW_SECONDS, Repository


@asynccontextmanager
async def kept_fresh(repository: Repository) -> AsyncIterator[None]:
    """Renews snapshot and timestamp at once, in case the hub was off, and then when half of a life is over, until the block ends."""
    await once(repository.renew)
    task = asyncio.create_task(forever(partial(every, RENEW_SECONDS, repository.renew)))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
