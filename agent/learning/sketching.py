"""Sketches prompts once they are answered, a minute's together, in a thread: a statistic, which costs no prompt its time.

The embedder is in memory while they are sketched, and not in between: outside of rounds, learning takes none. Where it cannot be used, more
prompts come than can be sketched, or the agent ends meanwhile, some have no sketch, and all else goes on.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from agent.embedding.embedder import Embedder
from agent.embedding.opening import Opened, open_embedder
from agent.prompts import Prompt
from agent.service import give_memory_back
from agent.store.sketches import SketchStore
from agent.store.subjects import Subject
from contract.drift import Sketch, sketch

MOST_WAITING = 64
"""So many prompts wait to be sketched at most; those that come then have no sketch."""

GATHER_SECONDS = 60.0
"""So long are prompts gathered, or until as many wait as may: loading the embedder takes as long as sketching some fifty of them."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """A prompt that waits to be sketched.

    Args:
        receipt_id: of its answer.
        subject: who asked.
        asked_time: when it came, POSIX time, seconds.
        text: its last words.
        similarity: of the question whose kept answer it was given; None: it was given no such answer.
    """

    receipt_id: str
    subject: Subject
    asked_time: float
    text: str = field(repr=False)
    similarity: float | None = None


class Sketching:
    """Hears of answered prompts, and keeps their sketches.

    Args:
        store: of sketches.
        is_on: says whether this device takes part in sums at all.
        clock: returns the time, UTC.
        load: opens the embedder, each time that prompts were gathered.
        gather_seconds: for how long they are.
        tidying: gives back the memory that the embedder has needed; it blocks.
    """

    def __init__(
        self,
        store: SketchStore,
        is_on: Callable[[], bool],
        clock: Callable[[], datetime],
        load: Callable[[], Opened] = open_embedder,
        gather_seconds: float = GATHER_SECONDS,
        tidying: Callable[[], None] = give_memory_back,
    ) -> None:
        self._store = store
        self._is_on = is_on
        self._clock = clock
        self._load = load
        self._gather_seconds = gather_seconds
        self._tidying = tidying
        self._waiting: list[Heard] = []
        self._begun, self._full, self._settled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._settled.set()
        self._problem = ""

    def hear(self, prompt: Prompt, receipt_id: str, similarity: float | None = None) -> None:
        """Notes a prompt whose answer may be counted. It is let go where too many wait."""
        text = next((message.content for message in reversed(prompt.messages) if message.role == "user"), "")
        if not text.strip() or len(self._waiting) >= MOST_WAITING or not self._is_on():
            return
        subject = Subject(prompt.client, prompt.conversation)
        self._waiting.append(Heard(receipt_id, subject, prompt.received_time.timestamp(), text, similarity))
        self._settled.clear()
        self._begun.set()
        if len(self._waiting) == MOST_WAITING:
            self._full.set()

    async def run(self) -> None:
        """Sketches until cancelled."""
        while True:
            await self._keep(await self._sketched(await self._gathered()))  # no prompt's words are held while the next is waited for
            if not self._waiting:
                self._settled.set()

    async def settled(self) -> None:
        """Returns when none waits any more."""
        await self._settled.wait()

    async def _gathered(self) -> list[Heard]:
        await self._begun.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._gather_seconds):
                await self._full.wait()
        gathered, self._waiting = self._waiting, []
        self._begun.clear()
        self._full.clear()
        return gathered

    async def _sketched(self, gathered: Sequence[Heard]) -> Sequence[tuple[Heard, Sketch]]:
        problem, sketched = await asyncio.to_thread(self._sketch, gathered)
        if problem and problem != self._problem:
            _log.warning("prompts are not sketched", advice=problem)
        self._problem = problem
        return sketched

    def _sketch(self, gathered: Sequence[Heard]) -> tuple[str, Sequence[tuple[Heard, Sketch]]]:
        """Returns what is wrong with the embedder, and the sketches. All in one thread: nobody holds the embedder when this is over."""
        opened = self._load()
        embedder, problem = opened.embedder, opened.problem
        found = [] if embedder is None else [(heard, made) for heard in gathered if (made := _sketch_of(embedder, heard.text)) is not None]
        del opened, embedder
        self._tidying()
        return problem, found

    async def _keep(self, found: Sequence[tuple[Heard, Sketch]]) -> None:
        for heard, sketched in found:
            now = self._clock().timestamp()
            try:
                await self._store.put(heard.receipt_id, sketched, heard.subject, heard.asked_time, now, heard.similarity)
            except sqlite3.DatabaseError as error:
                _log.warning("a sketch is not kept", error=str(error), advice="see whether the disk is full")


def _sketch_of(embedder: Embedder, text: str) -> Sketch | None:
    try:
        return sketch(embedder.embed(text).tolist())
    except Exception as error:  # noqa: BLE001 - whatever breaks in a network, the prompt was answered
        _log.warning("a prompt is not sketched", error=type(error).__name__)  # without its words: they may quote the prompt
        return None
