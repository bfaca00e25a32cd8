"""Flower in a child process of the hub, and the cohorts that are in it."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count

import structlog

from contract.carrying import QUIET, Frame, FrameKind, Frames
from contract.errors import Unavailable
from contract.secagg.rules import MOST_AGENTS
from hub.learning.flower_grid import FlowerGrid, Pipe, fail, gone

_log = structlog.get_logger(__name__)

CHILD = (sys.executable, "-I", "-m", "hub.learning.child")

MOST_COHORTS = 8
"""In one child at once."""

MOST_CONNECTIONS = 2 * MOST_COHORTS * MOST_AGENTS
"""A device has one, and another where its link has broken."""

START_SECONDS = 120.0
"""Flower takes a second to be imported, and longer on a machine that does much else."""

STOP_SECONDS = 30.0
"""Far more than devices are waited for, so that only a child that hangs is killed."""

_READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a child's Fleet API listens, and what it shows; both for this child alone.

    Args:
        listener: bound.
        certificate_pem: of the key below.
        key_pem: no other key of the hub.
        most_connections: that it has at once; who comes then waits at the door.
    """

    listener: socket.socket
    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    most_connections: int = MOST_CONNECTIONS


class Carrier:
    """A child, and those who are in it.

    Args:
        process: the child, which has begun.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        if process.stdin is None or process.stdout is None:
            raise TypeError("the child is spoken with over pipes")
        self._to_child, self._from_child = process.stdin, process.stdout
        self._numbers = count(1)
        self._grids: dict[int, FlowerGrid] = {}
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._has_ended = False

    @property
    def has_ended(self) -> bool:
        """Whether the child is there no more."""
        return self._has_ended

    async def begin(self, endpoint: Endpoint) -> None:
        """Has the child listen.

        Raises:
            Unavailable: HUB_UNAVAILABLE, it does not.
        """
        wanted = {
            "listener": endpoint.listener.fileno(),
            "certificate_pem": endpoint.certificate_pem.decode(),
            "key_pem": endpoint.key_pem.decode(),
            "most_connections": endpoint.most_connections,
        }
        self._tell(Frame(FrameKind.BEGIN, body=json.dumps(wanted).encode()))
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._ready
        except TimeoutError as error:
            raise gone() from error

    @contextmanager
    def cohort(self) -> Iterator[FlowerGrid]:
        """Has a cohort in the child until the block ends; its devices then hear that its round is over.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the child has ended.
        """
        if self._has_ended:
            raise gone()
        number = next(self._numbers)
        grid = self._grids[number] = FlowerGrid(number, Pipe(self._tell, self._drained))
        try:
            yield grid
        finally:
            del self._grids[number]
            with suppress(Unavailable):
                grid.end()

    async def listen(self) -> None:
        """Hears the child, until it ends. One that does not speak as agreed is ended."""
        frames, has_hung_up = Frames(), False
        try:
            while piece := await self._from_child.read(_READ_BYTES):
                for frame in frames.feed(piece):
                    self._hear(frame)
            has_hung_up = True
        finally:
            if not has_hung_up:
                self.kill()
            self._has_ended = True
            fail(self._ready)
            for grid in self._grids.values():
                grid.lose()

    def end(self) -> None:
        """Has the child end."""
        self._to_child.close()

    def kill(self) -> None:
        """Ends the child at once."""
        with suppress(ProcessLookupError):  # it has ended meanwhile
            self._process.kill()

    async def stopped(self) -> int:
        """Waits until the child is gone, and its port is free; one that hangs is killed. Returns its status."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                return await self._process.wait()
        except TimeoutError:
            self.kill()
            return await self._process.wait()

    def _hear(self, frame: Frame) -> None:
        if frame.kind is FrameKind.READY:
            self._ready.set_result(None)
        elif frame.cohort in self._grids:
            self._grids[frame.cohort].hear(frame)

    def _tell(self, frame: Frame) -> None:
        if self._to_child.is_closing():
            raise gone()
        self._to_child.write(frame.to_bytes())

    async def _drained(self) -> None:
        try:
            await self._to_child.drain()
        except ConnectionError as error:
            raise gone() from error


@asynccontextmanager
async def carrier(endpoint: Endpoint, command: Sequence[str] = CHILD) -> AsyncIterator[Carrier]:
    """Runs Flower in a child process, which inherits nothing but the listener, until the block ends.

    Args:
        endpoint: where it listens; its listener is closed here.
        command: that starts the child.

    Raises:
        Unavailable: HUB_UNAVAILABLE, it does not begin.
    """
    with endpoint.listener as listener:
        begun = Carrier(await _started(endpoint, command))
        listening = asyncio.create_task(begun.listen())
        try:
            await begun.begin(endpoint)
            listener.close()
            yield begun
        finally:
            begun.end()
            if status := await begun.stopped():
                _log.warning("what carried rounds has ended badly", status=status)
            await asyncio.gather(listening, return_exceptions=True)


async def _started(endpoint: Endpoint, command: Sequence[str]) -> asyncio.subprocess.Process:
    pipe, environment, kept = asyncio.subprocess.PIPE, {**QUIET, "PATH": os.defpath}, (endpoint.listener.fileno(),)
    try:
        return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment, cwd="/", pass_fds=kept)
    except OSError as error:
        _log.error("what carries rounds could not begin", error=error.strerror)
        raise gone() from error
