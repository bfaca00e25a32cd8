"""The hub's child for one round: `python -m hub.learning.child`. It speaks Flower with the devices, and frames with the hub.

It has the key of its own certificate, which lives for this round, and sees messages whose meaning it does not know. It has no other key of
the hub, and no way to its database.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import uvicorn

from contract.carrying import Frame, FrameKind, Frames
from hub.learning.flower import BEAT_SECONDS
from hub.learning.front import Front

MOST_CONNECTIONS = 512
"""Each of 64 devices has a handful."""

LINGER_SECONDS = 5.0
"""Devices that work when the round ends have so long to hear of it."""

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
    """One round.

    Args:
        output: the pipe to the hub.
    """

    def __init__(self, output: int) -> None:
        self._output = output
        self._front = Front(self._tell)
        self._server: _Server
        self._ttl_seconds = 0.0

    async def run(self, source: asyncio.StreamReader) -> None:
        """Serves until the hub says that the round is over, or is gone.

        Args:
            source: the pipe from the hub.
        """
        frames = Frames()
        serving: asyncio.Task[None] | None = None
        upkeep = asyncio.create_task(self._keep())
        try:
            while piece := await source.read(READ_BYTES):
                for frame in frames.feed(piece):
                    if frame.kind is FrameKind.BEGIN:
                        serving = self._begin(json.loads(frame.body))
                    elif frame.kind is FrameKind.END:
                        await self._end()
                        return
                    else:
                        self._take(frame)
        finally:
            upkeep.cancel()
            if serving is not None:
                self._server.should_exit = True
                await serving

    def _take(self, frame: Frame) -> None:
        if frame.kind is FrameKind.ADMIT:
            self._front.admit(frame.name, frame.body)
        elif frame.kind is FrameKind.EXPEL:
            self._front.expel(frame.name)
        elif frame.kind is FrameKind.MESSAGE:
            self._front.send(frame.name, frame.stage, frame.body, self._ttl_seconds)

    def _begin(self, wanted: dict[str, Any]) -> "asyncio.Task[None]":
        self._ttl_seconds = wanted["deadline_seconds"]
        certificate, key = _file(wanted["certificate_pem"]), _file(wanted["key_pem"])
        self._server = _Server(
            lambda: self._tell(Frame(FrameKind.READY)),
            uvicorn.Config(
                self._front,
                http="h11",
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=GRACE_SECONDS,
                ssl_certfile=certificate,
                ssl_keyfile=key,
            ),
        )
        return asyncio.create_task(self._server.serve([socket.socket(fileno=wanted["listener"])]))

    async def _end(self) -> None:
        self._front.end()
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                await self._front.known_to_be_over.wait()
        except TimeoutError:
            return

    async def _keep(self) -> None:
        beaten = 0.0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._front.look()
            beaten += LOOK_SECONDS
            if beaten >= BEAT_SECONDS:
                beaten = 0.0
                self._front.superlink.beat()

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
    asyncio.run(_main())
    sys.stderr.flush()
    os._exit(0)  # taking Flower apart would take as long as loading it
