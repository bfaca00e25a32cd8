"""The hub's child: `python -m hub.learning.child`. It speaks Flower with the devices of all cohorts under way, and frames with the hub.

It has the key of its own certificate, which lives no longer than it does, and sees messages whose meaning it does not know. It has no other
key of the hub, and no way to its database.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import uvicorn

from contract.carrying import LONGEST_ROUND_SECONDS, Frame, FrameKind, Frames
from hub.learning.bounds import bound_connections, bound_memory
from hub.learning.door import Door
from hub.learning.flower import BEAT_SECONDS
from hub.learning.front import Front

LINGER_SECONDS = 5.0
"""Devices that work when their round ends have so long to hear of it."""

GRACE_SECONDS = 2
"""For words that are on their way."""

LOOK_SECONDS = 1.0
READ_BYTES = 256 * 1024


class _Server(uvicorn.Server):
    """uvicorn, which says when it listens.

    Args:
        ready: called then.
        config: uvicorn's own.
    """

    def __init__(self, ready: Callable[[], None], config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to listen."""
        await super().startup(sockets)
        self._ready()


class Child:
    """All cohorts that are under way.

    Args:
        output: the pipe to the hub.
    """

    def __init__(self, output: int) -> None:
        self._output = output
        self._door = Door()
        self._leaving: dict[int, asyncio.Task[None]] = {}
        self._server: _Server
        self._serving: asyncio.Task[None] | None = None

    async def run(self, source: asyncio.StreamReader) -> None:
        """Serves until the hub has no more to say, or is gone, or what all cohorts need breaks: the next ones then have another child.

        Args:
            source: the pipe from the hub.
        """
        works = {asyncio.create_task(self._listen(source)), asyncio.create_task(self._keep())}
        try:
            ended, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            for each in ended:
                each.result()
            await self._end_all()
        finally:
            for each in works:
                each.cancel()
            if self._serving is not None:
                self._server.should_exit = True
                await self._serving

    async def _listen(self, source: asyncio.StreamReader) -> None:
        frames = Frames()
        while piece := await source.read(READ_BYTES):
            for frame in frames.feed(piece):
                if frame.kind is FrameKind.BEGIN:
                    self._serving = self._begin(json.loads(frame.body))
                else:
                    self._take(frame)

    def _take(self, frame: Frame) -> None:
        front = self._door.fronts.get(frame.cohort) or self._begin_cohort(frame.cohort)
        if frame.kind is FrameKind.ADMIT:
            self._door.admit(front, frame.name, frame.body)
        elif frame.kind is FrameKind.EXPEL:
            front.expel(frame.name)
        elif frame.kind is FrameKind.MESSAGE:
            front.send(frame.name, frame.stage, frame.body, LONGEST_ROUND_SECONDS)
        elif frame.kind is FrameKind.END:
            self._end(frame.cohort, front)

    def _begin(self, wanted: dict[str, Any]) -> "asyncio.Task[None]":
        certificate, key = _file(wanted["certificate_pem"]), _file(wanted["key_pem"])
        listener = socket.socket(fileno=wanted["listener"])
        bound_connections(wanted["most_connections"])
        self._server = _Server(
            lambda: self._tell(Frame(FrameKind.READY)),
            uvicorn.Config(
                self._door,
                http="h11",
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=wanted["most_connections"],
                timeout_keep_alive=30,
                timeout_graceful_shutdown=GRACE_SECONDS,
                ssl_certfile=certificate,
                ssl_keyfile=key,
            ),
        )
        return asyncio.create_task(self._server.serve([listener]))

    def _begin_cohort(self, cohort: int) -> Front:
        front = self._door.fronts[cohort] = Front(partial(self._tell_of, cohort))
        return front

    def _end(self, cohort: int, front: Front) -> None:
        front.end()
        self._leaving[cohort] = asyncio.create_task(self._leave(cohort, front))

    async def _leave(self, cohort: int, front: Front) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await front.known_to_be_over.wait()
        del self._door.fronts[cohort], self._leaving[cohort]

    async def _end_all(self) -> None:
        for cohort, front in self._door.fronts.items():
            if cohort not in self._leaving:
                self._end(cohort, front)
        await asyncio.gather(*self._leaving.values())

    async def _keep(self) -> None:
        beaten = 0.0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            beaten += LOOK_SECONDS
            for front in self._door.fronts.values():
                front.look()
                if beaten >= BEAT_SECONDS:
                    front.superlink.beat()
            beaten %= BEAT_SECONDS

    def _tell_of(self, cohort: int, frame: Frame) -> None:
        self._tell(replace(frame, cohort=cohort))

    def _tell(self, frame: Frame) -> None:
        content = memoryview(frame.to_bytes())
        while content:
            content = content[os.write(self._output, content) :]


def _file(content: str) -> str:
    """Returns the path of a file in memory: the TLS library wants one, and a key has no business on a disk."""
    descriptor = os.memfd_create("pem")
    os.write(descriptor, content.encode())
    return f"/proc/self/fd/{descriptor}"


async def _main() -> None:
    output = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no frame
    source = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(source), sys.stdin)
    await Child(output).run(source)


if __name__ == "__main__":
    bound_memory()
    asyncio.run(_main())
    sys.stderr.flush()
    os._exit(0)  # taking Flower apart would take as long as loading it
