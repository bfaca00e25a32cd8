"""How much the hub's child may take: what goes beyond costs a connection, or the child, and never the hub."""

import asyncio
import resource
from contextlib import suppress
from pathlib import Path
from typing import Any

MOST_DATA_BYTES = 1024**3
"""With 512 devices two thirds of it are taken, half of that by stacks of 40 threads, hardly used: `data_mib` of `make bench-learning`."""

_OPEN_FILES = Path("/proc/self/fd")


def bound_memory() -> None:
    """Bounds this process's memory, and has the kernel end it before the hub where there is too little of it: proc(5), oom_score_adj."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_DATA_BYTES, MOST_DATA_BYTES))
    with suppress(OSError):  # where a container may not
        Path("/proc/self/oom_score_adj").write_text("1000")


def bound_connections(most: int) -> None:
    """Each is a file: who comes when there are so many waits until one has gone, and those who are connected go on.

    Args:
        most: connections; the files that are open now are not counted.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + len([*_OPEN_FILES.iterdir()])
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(hard, wanted), hard))
    asyncio.get_running_loop().set_exception_handler(_Complaints())


class _Complaints:
    """What the event loop complains of, each kind once: a connection too many is tried again each second, and each try would be said."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Says it, or does not."""
        if context["message"] not in self._said:
            self._said.add(context["message"])
            loop.default_exception_handler(context)
