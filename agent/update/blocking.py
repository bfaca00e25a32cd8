"""Blocking work of which a half may not be left behind."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def finished(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs work in a thread. A cancellation ends the wait only when the work has ended: two threads never write to the same slot."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        running.exception()  # who was cancelled does not ask how it ended
        raise
