"""Waiting, in a test, for what nothing announces."""

import asyncio
from collections.abc import Callable

SECONDS = 20.0


async def until(condition: Callable[[], bool]) -> None:
    """Returns when a condition holds.

    Raises:
        TimeoutError: it does not.
    """
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - logs, sockets and processes set no asyncio.Event
            await asyncio.sleep(0.01)
