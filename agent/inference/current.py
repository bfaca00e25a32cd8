"""The model that answers now. It can be exchanged for another while prompts are answered, and none of them is lost.

What is begun ends on the model that began it; what comes later goes to the new one. Where two do not fit into the memory, the old one is
let go of first, and until the new one is there, prompts are left to the cache and the hub.
"""

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Protocol

import structlog

from agent.inference.answer import Finished, Piece
from agent.inference.away import AwayModel, ModelAway, model_loading
from agent.inference.machine import resident_bytes
from agent.inference.scoring import Scored
from agent.prompts import Message, Sampling
from contract.bundle import Bundle
from contract.errors import Reason, SeawallError

DRAIN_SECONDS = 300.0
"""So long an exchange waits for answers that are begun; a client that has not read its answer by then loses the rest."""

_FIRST_GUESS_SECONDS = 5.0

_log = structlog.get_logger(__name__)


class LocalModel(Protocol):
    """What is needed of `agent.inference.engine.Engine`."""

    @property
    def bundle(self) -> Bundle:
        """What it was loaded from."""
        ...

    @property
    def context_tokens(self) -> int:
        """The most tokens that prompt and answer have together."""
        ...

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Returns the tokens of a conversation."""
        ...

    def generate(self, messages: Sequence[Message], sampling: Sampling, client: str = "") -> AsyncGenerator[Piece | Finished, None]:
        """Answers a conversation: a Piece for each token, then one Finished."""
        ...


class LoadedModel(LocalModel, Protocol):
    """A model that can be measured, and let go of."""

    def generate(
        self, messages: Sequence[Message], sampling: Sampling, client: str = "", *, priority: int = 0
    ) -> AsyncGenerator[Piece | Finished, None]:
        """As above; a higher priority goes first."""
        ...

    async def score(self, text: str, *, priority: int = 0) -> Scored:
        """Says how likely a text is."""
        ...

    async def close(self) -> None:
        """Lets go of it."""
        ...


class _Seat:
    """A model, and how many hold it."""

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self.holders = 0
        self.is_free = asyncio.Event()
        self.is_free.set()


@dataclass(frozen=True, slots=True)
class Tried:
    """A model that is tried before it serves.

    Args:
        model: it.
        is_beside: whether the one that serves is loaded as well.
        before_bytes: of memory that this process had when it was loaded.
    """

    model: LoadedModel
    is_beside: bool
    before_bytes: int


class CurrentModel:
    """Holds the model. Used in one event loop.

    Args:
        load: loads the model in a folder; blocks. It verifies the folder first.
        fits_beside: says whether the model in a folder fits into the memory that is free now.
        drain_seconds: so long an exchange waits for answers that are begun.
    """

    def __init__(
        self, load: Callable[[Path], LoadedModel], fits_beside: Callable[[Path], bool], drain_seconds: float = DRAIN_SECONDS
    ) -> None:
        self._load = load
        self._fits_beside = fits_beside
        self._drain_seconds = drain_seconds
        self._load_seconds = _FIRST_GUESS_SECONDS
        self._exchanging = asyncio.Lock()
        self._folder: Path | None = None
        self._seat = _Seat(AwayModel(model_loading(self._load_seconds)))

    @property
    def bundle(self) -> Bundle:
        """Of the model that answers now, or of the last one that did."""
        return self._seat.model.bundle

    @property
    def context_tokens(self) -> int:
        """Of the same model."""
        return self._seat.model.context_tokens

    @property
    def folder(self) -> Path | None:
        """That the model which answers now was loaded from; None: there is none."""
        return self._folder if self.away == "" else None

    @property
    def away(self) -> str:
        """Why there is no model now; empty: there is one."""
        model = self._seat.model
        return model.refusal.message if isinstance(model, AwayModel) else ""

    @property
    def is_asked(self) -> bool:
        """Whether a prompt is being answered."""
        return self._seat.holders > 0

    @contextmanager
    def held(self) -> Iterator[LoadedModel]:
        """Gives the model that answers now; it stays until this is left."""
        seat = self._seat
        seat.holders += 1
        seat.is_free.clear()
        try:
            yield seat.model
        finally:
            seat.holders -= 1
            if not seat.holders:
                seat.is_free.set()

    async def exchange(self, folder: Path) -> None:
        """Takes the model in a folder; returns when it answers and the one before is gone.

        Args:
            folder: of a verified bundle.

        Raises:
            SeawallError: it cannot be loaded; the one before answers on, having been loaded again if it had to go first.
        """
        async with self._exchanging:
            if self.away != "" or await asyncio.to_thread(self._fits_beside, folder):
                fresh = await self._loaded(folder)
                before, self._seat = self._seat, _Seat(fresh)
                self._folder = folder
                await self._retire(before)
            else:
                await self._exchange_one_by_one(folder)

    @asynccontextmanager
    async def tried(self, folder: Path) -> AsyncIterator[Tried]:
        """Loads the model in a folder for as long as the block lasts; the one that answers now answers on, or again afterwards.

        Where two do not fit, that one is let go of, and until the end of the block prompts are left to the cache and the hub.

        Args:
            folder: of a verified bundle.

        Raises:
            SeawallError: it cannot be loaded; the one before answers.
        """
        async with self._exchanging:
            is_beside = self.away == "" and await asyncio.to_thread(self._fits_beside, folder)
            if is_beside or self.away != "":
                async with self._loaded_once(folder, is_beside) as tried:
                    yield tried
                return
            async with self._vacated(), self._loaded_once(folder, is_beside) as tried:
                yield tried

    async def go_without(self, why: str, last: Bundle | None = None) -> None:
        """Lets go of the model; prompts are left to the cache and the hub.

        Args:
            why: a sentence, for clients and operators.
            last: the model that served when the agent ran before: what it has answered is still in the cache.
        """
        async with self._exchanging:
            await self._vacate(ModelAway(Reason.MODEL_UNAVAILABLE, why), last)

    async def close(self) -> None:
        """Lets go of the model at once; answers that are not complete end with Unavailable."""
        await self._seat.model.close()

    @asynccontextmanager
    async def _vacated(self) -> AsyncIterator[None]:
        """Lets go of the model for as long as the block lasts."""
        before = await self._emptied()
        try:
            await self._close(before)
            yield
        finally:
            await self._take_before_again()

    async def _emptied(self) -> _Seat:
        """Gives nobody the model any more, and returns its seat once nobody has it. A cancellation before that leaves it where it was."""
        before, self._seat = self._seat, _Seat(AwayModel(model_loading(self._load_seconds), self.bundle, self.context_tokens))
        try:
            await self._drain(before)
        except asyncio.CancelledError:
            self._seat = before
            raise
        return before

    @asynccontextmanager
    async def _loaded_once(self, folder: Path, is_beside: bool) -> AsyncIterator[Tried]:
        before_bytes = resident_bytes()
        model = await self._loaded(folder)
        try:
            yield Tried(model, is_beside, before_bytes)
        finally:
            await model.close()
            del model
            gc.collect()

    async def _exchange_one_by_one(self, folder: Path) -> None:
        before = await self._emptied()
        try:
            await self._close(before)
            fresh = await self._loaded(folder)
        except (SeawallError, asyncio.CancelledError) as error:
            _log.error("the new model is not loaded: the one before is taken again", reason=str(error) or "stopped")
            await self._take_before_again()
            raise
        self._seat = _Seat(fresh)
        self._folder = folder

    async def _take_before_again(self) -> None:
        """Goes to its end though it is cancelled meanwhile: else the device would be left without a model."""
        taking = asyncio.ensure_future(self._taken_again())
        try:
            await asyncio.shield(taking)
        except asyncio.CancelledError:
            await asyncio.wait([taking])
            raise

    async def _taken_again(self) -> None:
        if self._folder is None:
            return
        try:
            self._seat = _Seat(await self._loaded(self._folder))
        except SeawallError as error:
            await self._vacate(ModelAway(Reason.MODEL_UNAVAILABLE, f"No model can be loaded on this device: {error.message}"))

    async def _vacate(self, refusal: ModelAway, last: Bundle | None = None) -> None:
        before, self._seat = self._seat, _Seat(AwayModel(refusal, last or self.bundle, self.context_tokens))
        await self._retire(before)

    async def _retire(self, seat: _Seat) -> None:
        await self._drain(seat)
        await self._close(seat)

    async def _drain(self, seat: _Seat) -> None:
        try:
            async with asyncio.timeout(self._drain_seconds):
                await seat.is_free.wait()
        except TimeoutError:
            _log.warning("answers are cut off: their clients do not read them", answers=seat.holders)

    async def _close(self, seat: _Seat) -> None:
        await seat.model.close()
        seat.model = AwayModel(model_loading(self._load_seconds), seat.model.bundle)
        gc.collect()  # its memory is needed now, not when the collector happens to come by

    async def _loaded(self, folder: Path) -> LoadedModel:
        started = monotonic()
        loading = asyncio.ensure_future(asyncio.to_thread(self._load, folder))
        try:
            model = await asyncio.shield(loading)
        except asyncio.CancelledError:
            await asyncio.wait([loading])
            if loading.exception() is None:
                await loading.result().close()  # nobody else would let go of it
            raise
        self._load_seconds = monotonic() - started
        return model
