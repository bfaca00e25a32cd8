"""Keeps what the hub signs by itself fresh, while it runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from hub.fleet.upkeep import beside, every, once
from hub.release.repository import RENEW_SECONDS, Repository


@asynccontextmanager
async def kept_fresh(repository: Repository) -> AsyncIterator[None]:
    """Renews snapshot and timestamp at once, in case the hub was off, and then when half of a life is over, until the block ends."""
    await once(repository.renew)
    async with beside([partial(every, RENEW_SECONDS, repository.renew)]):
        yield
