"""The decoder, as the rest of the agent sees it: asynchronous in front, one thread with the model behind."""

import asyncio
import contextlib
import itertools
import queue
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import structlog

from agent.inference.answer import Finished, Piece
from agent.inference.batcher import Batcher, Event, Item
from agent.inference.fit import choose_provider, fit_memory
from agent.inference.loading import load_bundle
from agent.inference.machine import free_memory_bytes, processors
from agent.inference.residency import collapse_weights, drop_mapped_files
from agent.inference.sampling import check_sampling
from agent.inference.scoring import Scored
from agent.inference.session import SUPPORTED_PROVIDERS, ModelFailed, ModelSession
from agent.inference.settings import EngineSettings
from agent.inference.tokenizer import ChatTokenizer
from agent.inference.waiting import Request
from agent.prompts import Message, Sampling
from contract.bundle import MODEL_FILE, TOKENIZER_FILE, Bundle
from contract.errors import Busy, InvalidRequest, Reason, SeawallError, Unavailable

IDLE_SECONDS = 10.0
"""After so long without a prompt, memory is given back. Sooner would cost the next prompt its page faults."""

_LEAST_SCORED_TOKENS = 2
_SCORING = "seawall/scoring"
"""In a client's place: no topic and no key is called so."""

_log = structlog.get_logger(__name__)

__all__ = ["Engine", "Finished", "Piece"]


@dataclass(frozen=True, slots=True)
class _Asker:
    """Who waits for an answer: the event loop, and the queue that is read there."""

    loop: asyncio.AbstractEventLoop
    items: "asyncio.Queue[Item]"


@dataclass(frozen=True, slots=True)
class _Order:
    """A prompt on its way to the thread."""

    request: Request
    sampling: Sampling
    max_tokens: int
    asker: _Asker


@dataclass(frozen=True, slots=True)
class _Cancel:
    request_id: int


class _Close:
    """Ends the thread."""


class Engine:
    """A loaded model. Constructing it takes up to a second and blocks.

    Args:
        bundle_folder: verified before anything in it is used.
        settings: its limits.

    Raises:
        InvalidRequest: BUNDLE_INVALID.
        NotPossibleNow: MEMORY_TOO_SMALL, or CONFIG_INVALID where no execution provider is there.
    """

    def __init__(self, bundle_folder: Path, settings: EngineSettings) -> None:
        self.bundle: Bundle = load_bundle(bundle_folder)
        self._settings = settings = _fitted(settings, self.bundle)
        self.context_tokens = settings.context_tokens
        self._tokenizer = ChatTokenizer(bundle_folder / TOKENIZER_FILE, self.bundle.chat_template)
        session = ModelSession(
            bundle_folder / MODEL_FILE,
            self.bundle.shape,
            rows=settings.slots + settings.prefix_rows,
            context_tokens=settings.context_tokens,
            threads=settings.threads or processors(),
            provider=_provider(settings),
        )
        drop_mapped_files(bundle_folder)
        batcher = Batcher(session, settings, self._tokenizer.decode, self.bundle.stop_token_ids)
        self._ids = itertools.count()
        self._worker = _Worker(batcher)
        self._worker.start()

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Returns how many tokens a conversation has, with what the chat template adds."""
        return self._tokenizer.count(messages)

    async def generate(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        client: str = "",
        *,
        priority: int = 0,
        deadline_seconds: float | None = None,
    ) -> AsyncGenerator[Piece | Finished, None]:
        """Answers a conversation: a Piece for each token, then one Finished.

        Closing the iterator (`aclose`) ends the work within one run of the model.

        Args:
            messages: oldest first.
            sampling: how tokens are chosen.
            client: who asks; clients share the model evenly.
            priority: higher goes first.
            deadline_seconds: from now; then the work stops with Busy. None: never.

        Raises:
            PromptTooLong: PROMPT_TOO_LONG, with the limit and the count.
            InvalidRequest: FIELD_INVALID or PROMPT_INVALID.
            Busy: QUEUE_FULL, with how long to wait; or DEADLINE_EXCEEDED.
            Unavailable: AGENT_STOPPING.
        """
        check_sampling(sampling)
        tokens = await asyncio.to_thread(self._tokenizer.encode, messages, self.context_tokens - 1)
        max_tokens = min(sampling.max_tokens or self._settings.default_max_tokens, self.context_tokens - len(tokens))
        deadline = None if deadline_seconds is None else time.monotonic() + deadline_seconds
        request = Request(next(self._ids), tuple(tokens), client, priority, deadline)
        async with aclosing(self._items(request, sampling, max_tokens)) as items:
            async for item in items:
                if isinstance(item, Piece | Finished):
                    yield item

    async def score(self, text: str, *, priority: int = 0) -> Scored:
        """Says how likely a text is, as far as it fits into the context. Others wait for a piece of it at a time, as for a prompt's.

        Args:
            text: of at least two tokens.
            priority: higher goes first.

        Raises:
            InvalidRequest: PROMPT_INVALID, it is too short.
            Busy: QUEUE_FULL.
            Unavailable: AGENT_STOPPING.
        """
        tokens = (await asyncio.to_thread(self._tokenizer.encode_text, text))[: self.context_tokens]
        if len(tokens) < _LEAST_SCORED_TOKENS:
            raise InvalidRequest(Reason.PROMPT_INVALID, "The text is too short to be scored: give at least two tokens.")
        request = Request(next(self._ids), tuple(tokens), _SCORING, priority, is_scored=True)
        async with aclosing(self._items(request, Sampling(), 1)) as items:
            async for item in items:
                if isinstance(item, Scored):
                    return item
        raise _stopping()

    async def _items(self, request: Request, sampling: Sampling, max_tokens: int) -> AsyncGenerator[Piece | Finished | Scored, None]:
        items: asyncio.Queue[Item] = asyncio.Queue()
        self._worker.send(_Order(request, sampling, max_tokens, _Asker(asyncio.get_running_loop(), items)))
        try:
            while True:
                item = await items.get()
                if isinstance(item, SeawallError):
                    raise item
                yield item
                if not isinstance(item, Piece):
                    return
        finally:
            self._worker.send(_Cancel(request.request_id))

    async def close(self) -> None:
        """Ends the thread; answers that are not complete end with Unavailable."""
        self._worker.send(_Close())
        await asyncio.to_thread(self._worker.join)


class _Worker(threading.Thread):
    """Owns the batcher. Nothing reaches it but through the inbox."""

    def __init__(self, batcher: Batcher) -> None:
        super().__init__(name="seawall-inference", daemon=True)
        self._batcher = batcher
        self._inbox: queue.SimpleQueue[_Order | _Cancel | _Close] = queue.SimpleQueue()
        self._askers: dict[int, _Asker] = {}
        self._is_open = True
        self._lock = threading.Lock()

    def send(self, message: _Order | _Cancel | _Close) -> None:
        """Passes a message to the thread.

        Raises:
            Unavailable: AGENT_STOPPING, to an order after the thread's end.
        """
        with self._lock:
            if isinstance(message, _Order) and not self._is_open:
                raise _stopping()
            self._inbox.put(message)

    def run(self) -> None:
        """Serves until it is closed; whatever ends it, nobody is left waiting."""
        try:
            collapse_weights()
            while self._is_open:
                self._receive()
                if self._is_open and not self._batcher.is_idle:
                    self._step()
        finally:
            with self._lock:
                self._is_open = False
            while not self._inbox.empty():
                self._take(self._inbox.get())
            self._fail_all(_stopping())
            del self._batcher  # whoever still holds the engine, as a traceback may, does not hold the model's memory

    def _receive(self) -> None:
        """Takes all messages that are there; where there is nothing to do, waits for one."""
        if self._batcher.is_idle and self._inbox.empty():
            try:
                self._take(self._inbox.get(timeout=IDLE_SECONDS))
            except queue.Empty:
                self._batcher.release_idle_rows()
                self._take(self._inbox.get())
        while not self._inbox.empty():
            self._take(self._inbox.get())

    def _take(self, message: _Order | _Cancel | _Close) -> None:
        if isinstance(message, _Order):
            self._accept(message)
        elif isinstance(message, _Cancel):
            self._askers.pop(message.request_id, None)
            self._batcher.cancel(message.request_id)
        else:
            self._is_open = False

    def _accept(self, order: _Order) -> None:
        random = np.random.default_rng(order.sampling.seed)
        try:
            self._batcher.submit(order.request, order.sampling, order.max_tokens, random)
        except Busy as error:
            _hand_over([(order.asker, error)])
        else:
            self._askers[order.request.request_id] = order.asker

    def _step(self) -> None:
        try:
            events = self._batcher.step(time.monotonic())
        except ModelFailed as error:
            self._fail_all(error)
        else:
            self._publish(events)

    def _publish(self, events: Sequence[Event]) -> None:
        _hand_over([(self._askers[request_id], item) for request_id, item in events])
        for request_id, item in events:
            if not isinstance(item, Piece):
                del self._askers[request_id]

    def _fail_all(self, error: SeawallError) -> None:
        for request_id in self._askers:
            self._batcher.cancel(request_id)
        _hand_over([(asker, error) for asker in self._askers.values()])
        self._askers.clear()


def _fitted(settings: EngineSettings, bundle: Bundle) -> EngineSettings:
    fitted = fit_memory(settings, bundle, free_memory_bytes())
    if fitted.slots < settings.slots:
        _log.warning("memory allows fewer slots than are set", slots=fitted.slots, wanted=settings.slots)
    return fitted


def _provider(settings: EngineSettings) -> str:
    usable = [provider for provider in onnxruntime.get_available_providers() if provider in SUPPORTED_PROVIDERS]
    chosen = choose_provider(settings.providers, usable)
    if chosen != settings.providers[0]:
        _log.warning("the execution provider that is wanted first cannot be used", wanted=settings.providers[0], chosen=chosen)
    return chosen


def _hand_over(handed: Sequence[tuple[_Asker, Item]]) -> None:
    """Hands items to their askers, all that a step has made at once: waking a loop costs more than what it is woken for."""
    for loop in {asker.loop for asker, _ in handed}:
        # A loop that was closed has nobody left who waits; asking it first would leave a gap between question and call.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_put, [(asker.items, item) for asker, item in handed if asker.loop is loop])


def _put(items: "Sequence[tuple[asyncio.Queue[Item], Item]]") -> None:
    for queue_of_one, item in items:
        queue_of_one.put_nowait(item)


def _stopping() -> Unavailable:
    return Unavailable(Reason.AGENT_STOPPING, "The agent is stopping. Ask again when it is back.")
