"""The ways in which an answer can come: kept, from the model on the device, from the hub. Each yields its pieces, then one Outcome."""

import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from agent.cache.exact import CachedAnswer
from agent.confidence import confidence
from agent.escalation import Completion, EscalationFailed
from agent.inference.current import LocalModel
from agent.inference.engine import Finished, Piece
from agent.prompts import FinishReason, Message, Sampling
from agent.redacting import Outgoing
from contract.bundle import Bundle
from contract.receipts import Departure, Route


class Models(Protocol):
    """What is needed of `agent.inference.current.CurrentModel`."""

    @property
    def bundle(self) -> Bundle:
        """Of the model that answers now, or of the last one that did."""
        ...

    def held(self) -> AbstractContextManager[LocalModel]:
        """Gives the model that answers now; it stays until this is left, whatever it is exchanged for."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an answer ended, and what is to be said of it in the receipt."""

    route: Route
    finish_reason: FinishReason
    input_tokens: int
    output_tokens: int
    model: str
    model_digest: str = ""
    confidence: float | None = None
    departure: Departure | None = None
    provisional: bool = False
    notes: tuple[str, ...] = ()


async def recalled(kept: CachedAnswer) -> AsyncGenerator[str | Outcome, None]:
    """Gives a kept answer again."""
    yield kept.text
    yield Outcome(
        "cache", kept.finish_reason, kept.input_tokens, kept.output_tokens, kept.model, kept.model_digest, confidence=kept.confidence
    )


class LocalAnswer:
    """The answer of the model on the device. Its first tokens are held back until they are judged.

    Args:
        engine: the model.
        messages: the conversation.
        sampling: how tokens are chosen.
        client: who asks.
        held_tokens: how many tokens are judged.
        most_tokens: how many are given, though more may be judged; None: all.
    """

    def __init__(
        self,
        engine: LocalModel,
        messages: Sequence[Message],
        sampling: Sampling,
        client: str,
        held_tokens: int,
        most_tokens: int | None = None,
    ) -> None:
        self._engine = engine
        self._open = partial(engine.generate, messages, sampling, client)
        self._pieces = self._open()
        self._held_tokens = held_tokens
        self._most_tokens = most_tokens
        self._held: list[Piece | Finished] = []
        self.confidence = 0.0

    async def judge(self) -> float:
        """Holds the first tokens, and returns how much they can be trusted, 0 to 1."""
        logprobs: list[float] = []
        while len(logprobs) < self._held_tokens:
            piece = await anext(self._pieces)
            self._held.append(piece)
            if isinstance(piece, Finished):
                break
            logprobs.append(-math.inf if piece.logprob is None else piece.logprob)  # of what is not known nothing is trusted
        self.confidence = confidence(logprobs)
        return self.confidence

    async def set_aside(self) -> None:
        """Frees the model while somebody else is asked. Released after that, the answer begins anew; its prompt is still in the buffers."""
        if not isinstance(self._held[-1], Finished):
            await self._pieces.aclose()
            self._held.clear()
            self._pieces = self._open()

    async def release(self, departure: Departure | None = None, provisional: bool = False) -> AsyncGenerator[str | Outcome, None]:
        """Yields what was held, then the rest as it comes.

        Args:
            departure: what left the site in a vain attempt to get a better answer.
            provisional: whether one was attempted.
        """
        given = 0
        async with aclosing(self._all()) as pieces:
            async for piece in pieces:
                if isinstance(piece, Finished):
                    yield self._outcome(self._cut(piece), departure, provisional)
                elif self._most_tokens is None or given < self._most_tokens:
                    given += 1
                    yield piece.text

    async def aclose(self) -> None:
        """Ends the work."""
        await self._pieces.aclose()

    async def _all(self) -> AsyncGenerator[Piece | Finished, None]:
        async with aclosing(self._pieces) as rest:
            for piece in self._held:
                yield piece
            async for piece in rest:
                yield piece

    def _cut(self, end: Finished) -> Finished:
        if self._most_tokens is None or end.output_tokens <= self._most_tokens:
            return end
        return replace(end, finish_reason="length", output_tokens=self._most_tokens)

    def _outcome(self, end: Finished, departure: Departure | None, provisional: bool) -> Outcome:
        return Outcome(
            "local",
            end.finish_reason,
            end.input_tokens,
            end.output_tokens,
            f"models/{self._engine.bundle.name}/versions/{self._engine.bundle.version}",
            self._engine.bundle.digest(),
            self.confidence,
            departure,
            provisional,
        )


async def escalated(
    head: Sequence[str | Completion], rest: AsyncIterator[str | Completion], outgoing: Outgoing, judged: float | None
) -> AsyncGenerator[str | Outcome, None]:
    """Passes on the hub's answer.

    Args:
        head: what has come already.
        rest: what is still to come.
        outgoing: what was sent.
        judged: the confidence of the local answer that was not good enough; None: there was none.
    """
    for piece in head:
        yield _from_hub(piece, outgoing, judged)
    if not head or isinstance(head[-1], str):
        async for piece in rest:
            yield _from_hub(piece, outgoing, judged)


async def whole(pieces: AsyncIterator[str | Outcome]) -> tuple[str, Outcome]:
    """Hears an answer of the hub to its end. Returns its text, and how it ended.

    Raises:
        EscalationFailed: it had none.
    """
    texts: list[str] = []
    async for piece in pieces:
        if isinstance(piece, Outcome):
            return "".join(texts), piece
        texts.append(piece)
    raise EscalationFailed("hub-unavailable", sent=True)


def _from_hub(piece: str | Completion, outgoing: Outgoing, judged: float | None) -> str | Outcome:
    if isinstance(piece, str):
        return piece
    return Outcome(
        "escalated",
        piece.finish_reason,
        piece.input_tokens,
        piece.output_tokens,
        piece.model,
        confidence=judged,
        departure=departed(outgoing, piece),
        notes=piece.notes,
    )


def departed(outgoing: Outgoing, completion: Completion | None = None) -> Departure:
    """Returns what left the site: counts, and where to if a provider answered."""
    characters = sum(len(message.content) for message in outgoing.messages)
    redacted = len(outgoing.sent) if outgoing.is_redacted else None
    if completion is None:
        return Departure(len(outgoing.messages), characters, redacted=redacted)
    return Departure(len(outgoing.messages), characters, completion.provider, completion.tier, completion.region, redacted)
