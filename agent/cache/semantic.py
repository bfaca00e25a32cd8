"""Step 3, where no exact answer is kept: one to a question that means the same, found by its vector, let pass by the guard.

Compared are questions of one scope: the same model, policy, sampling and conversation but for the last message, prompts of the same class,
and those above public of one client alone. See docs/adr/0029-semantic-cache.md.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import ParamSpec, TypeVar

import numpy as np
import structlog

from agent.cache.exact import ExactCache, Recalled, repeatable
from agent.cache.guard import MOST_CHARACTERS, Guard, Refusal
from agent.cache.nearest import Nearest
from agent.embedding.embedder import Embedder, Vector
from agent.prompts import Message, Sampling
from agent.store.answers import AnswerStore, KeptQuestion
from contract.classification import DataClass

P = ParamSpec("P")
T = TypeVar("T")

_log = structlog.get_logger(__name__)

MOST_COMPARED_TOKENS = 128
"""Of a question that is compared: a longer one says too much for a rule to weigh."""

_MOST_COMPARED = 5
_SWEEP_SECONDS = 60.0
_ADVICE = "see whether the disk is full or broken; prompts are answered all the same"
_STORED = np.dtype("<f2")


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked, and all that an answer to it depends on.

    Args:
        messages: the conversation; the last one is the question.
        sampling: how tokens are chosen.
        model_digest: of the model on the device.
        data_class: of the prompt.
        client: who asks.
    """

    messages: Sequence[Message]
    sampling: Sampling
    model_digest: str
    data_class: DataClass
    client: str

    @property
    def text(self) -> str:
        """The question."""
        return self.messages[-1].content


class SemanticCache:
    """Finds answers to questions that mean the same. Everything but the store works in a thread of its own, one after the other.

    Args:
        cache: where answers are kept.
        store: the same, for questions.
        embedder: of questions.
        bar: returns the least similarity now.
        refused: told which rule of the guard has refused.
        pause: waits for so many seconds.
    """

    def __init__(
        self,
        cache: ExactCache,
        store: AnswerStore,
        embedder: Embedder,
        bar: Callable[[], float],
        refused: Callable[[Refusal], None] = lambda _: None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cache = cache
        self._store = store
        self._embedder = embedder
        self._bar = bar
        self._refused = refused
        self._pause = pause
        self._nearest = Nearest()
        self._thread = ThreadPoolExecutor(1, "embedder")

    def __len__(self) -> int:
        return len(self._nearest)

    async def recall(self, asking: Asking, now: float) -> Recalled | None:
        """Returns the answer to the most similar question that the guard lets pass; None: there is none, or the store cannot be read.

        Args:
            asking: what is asked.
            now: POSIX time, seconds.
        """
        question = await self.question(asking)
        try:
            return None if question is None else await self._recalled(question, now)
        except sqlite3.DatabaseError as error:
            _log.warning("no similar answer is looked for", error=str(error), advice=_ADVICE)
            return None

    async def _recalled(self, question: KeptQuestion, now: float) -> Recalled | None:
        found = dict(await self._run(self._find, question))
        texts = await self._store.questions(list(found), question.scope, now) if found else {}
        await self._run(self._nearest.drop, found.keys() - texts.keys())
        digest = await self._run(self._first_that_passes, question.text, {digest: texts[digest] for digest in found if digest in texts})
        answer = None if digest is None else await self._cache.kept(digest, now)
        return None if digest is None or answer is None else Recalled(digest, replace(answer, confidence=None), found[digest])

    async def question(self, asking: Asking) -> KeptQuestion | None:
        """Returns a question as it is kept and compared; None: it is not, being too long or answered anew each time."""
        if not repeatable(asking.sampling) or asking.messages[-1].role != "user":
            return None
        vector = await self._run(self._embedded, asking.text)
        return None if vector is None else KeptQuestion(self._scope(asking), asking.text, vector.astype(_STORED).tobytes())

    async def add(self, digest: str, question: KeptQuestion) -> None:
        """Lets a question that was kept be found.

        Args:
            digest: under which its answer is kept.
            question: as it was kept.
        """
        await self._run(self._nearest.add, digest, question.scope, _vector(question.vector))

    async def load(self) -> None:
        """Reads the vectors that the store holds.

        Raises:
            sqlite3.DatabaseError: it cannot be read.
        """
        for digest, scope, vector in await self._store.vectors():
            await self._run(self._nearest.add, digest, scope, _vector(vector))

    async def run(self) -> None:
        """Reads the vectors, then forgets those whose answers are no longer kept, within a minute. Until cancelled.

        What cannot be read is not compared: a damaged store ends neither this nor the agent.
        """
        work = self.load
        while True:
            try:
                await work()
                work = self.sweep
            except sqlite3.DatabaseError as error:
                _log.warning("kept questions cannot be read", error=str(error), advice=_ADVICE)
            await self._pause(_SWEEP_SECONDS)

    async def sweep(self) -> None:
        """Forgets the vectors whose answers were forgotten, by whichever process.

        Raises:
            sqlite3.DatabaseError: the store cannot be read.
        """
        known = await self._run(self._nearest.digests)
        await self._run(self._nearest.drop, known - await self._store.comparable())

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown()

    def _scope(self, asking: Asking) -> str:
        whose = "" if asking.data_class is DataClass.PUBLIC else asking.client
        more = ("similar", self._embedder.digest, str(asking.data_class), whose)
        return self._cache.digest(asking.messages[:-1], asking.sampling, asking.model_digest, *more)

    def _embedded(self, text: str) -> Vector | None:
        try:
            if len(text) > MOST_CHARACTERS or self._embedder.tokens(text) > MOST_COMPARED_TOKENS:
                return None
            return self._embedder.embed(text)
        except Exception as error:  # noqa: BLE001 - whatever breaks in the network, the prompt is answered
            _log.error("a question is not compared", error=type(error).__name__)  # without its words: they may quote the prompt
            return None

    def _find(self, question: KeptQuestion) -> list[tuple[str, float]]:
        return self._nearest.find(question.scope, _vector(question.vector), self._bar(), _MOST_COMPARED)

    def _first_that_passes(self, text: str, kept: dict[str, str]) -> str | None:
        try:
            guard = Guard(text)
            return next((digest for digest, other in kept.items() if self._passes(guard, other)), None)
        except Exception as error:  # noqa: BLE001 - whatever breaks in the guard, the prompt is answered
            _log.error("a question is not compared", error=type(error).__name__)  # without its words: they may quote the prompt
            return None

    def _passes(self, guard: Guard, other: str) -> bool:
        if (why := guard.refusal(other)) is None:
            return True
        self._refused(why)
        _log.debug("a similar answer is not given", rule=why)
        return False

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args, **kwargs))


def _vector(stored: bytes) -> Vector:
    return np.frombuffer(stored, _STORED).astype(np.float32)
