"""Sketches prompts once they are answered, one after the other, in a thread: a statistic, which costs no prompt its time.

Where the embedder cannot be used, or more prompts come than can be sketched, some have no sketch, and all else goes on.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from agent.embedding.embedder import Embedder
from agent.embedding.opening import Opened, open_embedder
from agent.prompts import Prompt
from agent.store.sketches import SketchStore
from agent.store.subjects import Subject
from contract.drift import Sketch, sketch

MOST_WAITING = 64
"""So many prompts wait to be sketched at most; those that come then have no sketch."""

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
    """Hears of answered prompts, and keeps their sketches. The embedder is opened for the first of them, and not before.

    Args:
        store: of sketches.
        is_on: says whether this device takes part in sums at all.
        clock: returns the time, UTC.
        load: opens the embedder.
    """

    def __init__(
        self, store: SketchStore, is_on: Callable[[], bool], clock: Callable[[], datetime], load: Callable[[], Opened] = open_embedder
    ) -> None:
        self._store = store
        self._is_on = is_on
        self._clock = clock
        self._load = load
        self._opened: Opened | None = None
        self._waiting: asyncio.Queue[Heard] = asyncio.Queue(MOST_WAITING)

    def hear(self, prompt: Prompt, receipt_id: str, similarity: float | None = None) -> None:
        """Notes a prompt whose answer may be counted. It is let go where too many wait."""
        text = next((message.content for message in reversed(prompt.messages) if message.role == "user"), "")
        if text.strip() and self._is_on() and not self._waiting.full():
            subject = Subject(prompt.client, prompt.conversation)
            self._waiting.put_nowait(Heard(receipt_id, subject, prompt.received_time.timestamp(), text, similarity))

    async def run(self) -> None:
        """Sketches until cancelled."""
        while True:
            heard = await self._waiting.get()
            try:
                await self._keep(heard)
            except sqlite3.DatabaseError as error:
                _log.warning("a sketch is not kept", error=str(error), advice="see whether the disk is full")
            finally:
                self._waiting.task_done()

    async def settled(self) -> None:
        """Returns when none waits any more."""
        await self._waiting.join()

    async def _keep(self, heard: Heard) -> None:
        embedder = await self._embedder()
        sketched = None if embedder is None else await asyncio.to_thread(_sketched, embedder, heard.text)
        if sketched is not None:
            now = self._clock().timestamp()
            await self._store.put(heard.receipt_id, sketched, heard.subject, heard.asked_time, now, heard.similarity)

    async def _embedder(self) -> Embedder | None:
        if self._opened is None:
            self._opened = await asyncio.to_thread(self._load)
            if self._opened.problem:
                _log.warning("prompts are not sketched", advice=self._opened.problem)
        return self._opened.embedder


def _sketched(embedder: Embedder, text: str) -> Sketch | None:
    try:
        return sketch(embedder.embed(text).tolist())
    except Exception as error:  # noqa: BLE001 - whatever breaks in a network, the prompt was answered
        _log.warning("a prompt is not sketched", error=type(error).__name__)  # without its words: they may quote the prompt
        return None
