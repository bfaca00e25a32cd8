"""The agents of one round, over Flower in a child process."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog

from contract.carrying import QUIET, Frame, FrameKind, Frames
from contract.errors import Reason, Unavailable

_log = structlog.get_logger(__name__)

CHILD = (sys.executable, "-I", "-m", "hub.learning.child")
START_SECONDS = 120.0
"""Flower takes a second to be imported, and longer on a machine that does much else."""

STOP_SECONDS = 30.0
"""Far more than devices are waited for, so that only a child that hangs is killed."""

_READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a round's Fleet API listens, and what it shows; both for one round.

    Args:
        listener: bound.
        certificate_pem: of the key below.
        key_pem: no other key of the hub.
        deadline_seconds: of the round.
    """

    listener: socket.socket
    certificate_pem: bytes
    key_pem: bytes
    deadline_seconds: float


class FlowerGrid:
    """The devices of one round, over Flower in a child process.

    Args:
        process: the child, which has begun.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise TypeError("the child is spoken with over pipes")
        self._to_child, self._from_child = process.stdin, process.stdout
        self._stage = 0
        self._has_ended = False
        self._admitted: set[str] = set()
        self._present: set[str] = set()
        self._expelled: set[str] = set()
        self._changed = asyncio.Event()
        self._waited_for: dict[str, asyncio.Future[bytes | None]] = {}
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def reachable(self) -> Collection[str]:
        """Returns the agents whose node is there."""
        return frozenset(self._present)

    async def until_reachable(self, agents: Collection[str], timeout_seconds: float) -> None:
        """Waits until all of these are there or will not come, or the time is over.

        Raises:
            Unavailable: HUB_UNAVAILABLE, Flower has ended.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                while not (self._has_ended or (self._present | self._expelled).issuperset(agents)):
                    await self._changed.wait()
        except TimeoutError:
            return
        if self._has_ended:
            raise _gone()

    async def exchange(self, messages: Mapping[str, bytes], timeout_seconds: float) -> dict[str, bytes]:
        """Sends each agent its message and returns the answers that came in time.

        Raises:
            Unavailable: HUB_UNAVAILABLE, Flower has ended.
        """
        self._stage += 1
        loop = asyncio.get_running_loop()
        self._waited_for = {agent: loop.create_future() for agent in messages}
        for agent, message in messages.items():
            self._tell(Frame(FrameKind.MESSAGE, self._stage, agent, message))
        if self._waited_for:
            await asyncio.wait(self._waited_for.values(), timeout=timeout_seconds)
        came = {agent: future.result() for agent, future in self._waited_for.items() if future.done()}
        return {agent: answer for agent, answer in came.items() if answer is not None}

    def admit(self, agent: str, public_key: bytes) -> None:
        """Lets the node of an agent in; its first key counts."""
        self._admitted.add(agent)
        self._tell(Frame(FrameKind.ADMIT, 0, agent, public_key))

    def expel(self, agent: str) -> None:
        """Lets it in no more; an answer of it that is waited for does not come."""
        self._tell(Frame(FrameKind.EXPEL, 0, agent))
        self._expelled.add(agent)
        self._admitted.discard(agent)
        self._present.discard(agent)
        self._settle(agent, self._stage, None)
        self._wake()

    async def begin(self, endpoint: Endpoint) -> None:
        """Has the child listen.

        Raises:
            Unavailable: HUB_UNAVAILABLE, it does not.
        """
        wanted = {
            "listener": endpoint.listener.fileno(),
            "certificate_pem": endpoint.certificate_pem.decode(),
            "key_pem": endpoint.key_pem.decode(),
            "deadline_seconds": endpoint.deadline_seconds,
        }
        self._tell(Frame(FrameKind.BEGIN, body=json.dumps(wanted).encode()))
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._ready
        except TimeoutError as error:
            raise _gone() from error

    async def listen(self) -> None:
        """Hears the child, until it ends."""
        frames = Frames()
        try:
            while piece := await self._from_child.read(_READ_BYTES):
                for frame in frames.feed(piece):
                    self._hear(frame)
        finally:
            self._lose_all()

    def end(self) -> None:
        """Tells the child that the round is over."""
        self._tell(Frame(FrameKind.END))

    def _hear(self, frame: Frame) -> None:
        match frame.kind:
            case FrameKind.READY:
                self._ready.set_result(None)
            case FrameKind.PRESENT if frame.name in self._admitted:
                self._present.add(frame.name)
            case FrameKind.ABSENT:
                self._present.discard(frame.name)
            case FrameKind.ANSWER:
                self._settle(frame.name, frame.stage, frame.body)
            case FrameKind.REFUSAL:
                self._settle(frame.name, frame.stage, None)
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _settle(self, agent: str, stage: int, answer: bytes | None) -> None:
        waiting = self._waited_for.get(agent)
        if stage == self._stage and waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _lose_all(self) -> None:
        self._has_ended = True
        self._present.clear()
        waiting: list[asyncio.Future[Any]] = [self._ready, *self._waited_for.values()]
        for one in waiting:
            if not one.done():
                one.set_exception(_gone())
                one.exception()  # nobody may wait for it
        self._wake()

    def _tell(self, frame: Frame) -> None:
        if self._to_child.is_closing():
            raise _gone()
        self._to_child.write(frame.to_bytes())


@asynccontextmanager
async def flower_grid(endpoint: Endpoint, command: Sequence[str] = CHILD) -> AsyncIterator[FlowerGrid]:
    """Runs Flower in a child process, which inherits nothing but the listener, until the block ends.

    Args:
        endpoint: where it listens; its listener is closed here.
        command: that starts the child.

    Raises:
        Unavailable: HUB_UNAVAILABLE, it does not begin.
    """
    process = await _started(endpoint, command)
    grid = FlowerGrid(process)
    listening = asyncio.create_task(grid.listen())
    try:
        await grid.begin(endpoint)
        endpoint.listener.close()
        yield grid
    finally:
        endpoint.listener.close()
        await _stop(process, grid)
        await asyncio.gather(listening, return_exceptions=True)


async def _started(endpoint: Endpoint, command: Sequence[str]) -> asyncio.subprocess.Process:
    pipe, environment, kept = asyncio.subprocess.PIPE, {**QUIET, "PATH": os.defpath}, (endpoint.listener.fileno(),)
    try:
        return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment, cwd="/", pass_fds=kept)
    except OSError as error:
        endpoint.listener.close()
        _log.error("what carries rounds could not begin", error=error.strerror)
        raise _gone() from error


async def _stop(process: asyncio.subprocess.Process, grid: FlowerGrid) -> None:
    with suppress(Unavailable):
        grid.end()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            status = await process.wait()
    except TimeoutError:
        process.kill()
        status = await process.wait()
    if status != 0:
        _log.warning("what carried a round has ended badly", status=status)


def _gone() -> Unavailable:
    return Unavailable(Reason.HUB_UNAVAILABLE, "What carries the round has ended: see the hub's log, and begin another round.")
