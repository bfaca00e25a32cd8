"""The agents of one cohort, over Flower in a child process that other cohorts may be in too."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from contract.carrying import Frame, FrameKind
from contract.errors import Reason, Unavailable


@dataclass(frozen=True, slots=True)
class Pipe:
    """The way to the child.

    Args:
        tell: writes a frame.
        drained: waits until the child has taken most of what was written.
    """

    tell: Callable[[Frame], None]
    drained: Callable[[], Awaitable[None]]


class FlowerGrid:
    """The devices of one cohort.

    Args:
        number: of the cohort, in its child.
        pipe: to the child.
    """

    def __init__(self, number: int, pipe: Pipe) -> None:
        self._number = number
        self._pipe = pipe
        self._stage = 0
        self._is_lost = False
        self._admitted: set[str] = set()
        self._present: set[str] = set()
        self._expelled: set[str] = set()
        self._changed = asyncio.Event()
        self._waited_for: dict[str, asyncio.Future[bytes | None]] = {}

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
                while not (self._is_lost or (self._present | self._expelled).issuperset(agents)):
                    await self._changed.wait()
        except TimeoutError:
            return
        if self._is_lost:
            raise gone()

    async def exchange(self, messages: Mapping[str, bytes], timeout_seconds: float) -> dict[str, bytes]:
        """Sends each agent its message and returns the answers that came in time.

        Raises:
            Unavailable: HUB_UNAVAILABLE, Flower has ended.
        """
        if self._is_lost:
            raise gone()
        self._stage += 1
        loop = asyncio.get_running_loop()
        waited_for: dict[str, asyncio.Future[bytes | None]] = {agent: loop.create_future() for agent in messages}
        self._waited_for = waited_for
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._send(messages)
                if waited_for:
                    await asyncio.wait(waited_for.values())
        came = {agent: future.result() for agent, future in waited_for.items() if future.done()}
        return {agent: answer for agent, answer in came.items() if answer is not None}

    def admit(self, agent: str, public_key: bytes) -> None:
        """Lets the node of an agent in; its first key counts."""
        self._admitted.add(agent)
        self._tell(FrameKind.ADMIT, agent, public_key)

    def expel(self, agent: str) -> None:
        """Lets it in no more; an answer of it that is waited for does not come."""
        self._tell(FrameKind.EXPEL, agent)
        self._expelled.add(agent)
        self._admitted.discard(agent)
        self._present.discard(agent)
        self._settle(agent, self._stage, None)
        self._wake()

    def end(self) -> None:
        """Lets all of them go."""
        self._tell(FrameKind.END)

    def hear(self, frame: Frame) -> None:
        """Takes what the child says of this cohort."""
        match frame.kind:
            case FrameKind.PRESENT if frame.name in self._admitted:
                self._present.add(frame.name)
            case FrameKind.ABSENT:
                self._present.discard(frame.name)
            case FrameKind.ANSWER:
                self._settle(frame.name, frame.stage, frame.body)
            case FrameKind.REFUSAL:
                self._settle(frame.name, frame.stage, None)
        self._wake()

    def lose(self) -> None:
        """Flower has ended: nobody is there any more."""
        self._is_lost = True
        self._present.clear()
        for one in self._waited_for.values():
            fail(one)
        self._wake()

    async def _send(self, messages: Mapping[str, bytes]) -> None:
        stage = self._stage
        for agent, message in messages.items():
            self._pipe.tell(Frame(FrameKind.MESSAGE, stage, agent, message, self._number))
            await self._pipe.drained()

    def _tell(self, kind: FrameKind, agent: str = "", body: bytes = b"") -> None:
        self._pipe.tell(Frame(kind, 0, agent, body, self._number))

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _settle(self, agent: str, stage: int, answer: bytes | None) -> None:
        waiting = self._waited_for.get(agent)
        if stage == self._stage and waiting is not None and not waiting.done():
            waiting.set_result(answer)


def gone() -> Unavailable:
    """Returns what is said when Flower has ended."""
    return Unavailable(Reason.HUB_UNAVAILABLE, "What carries the round has ended: see the hub's log, and begin another round.")


def fail(waiting: "asyncio.Future[Any]") -> None:
    """Has what waits for the child wait no more."""
    if not waiting.done():
        waiting.set_exception(gone())
        waiting.exception()  # nobody may wait for it
