"""The path of a prompt.

Its steps are 1 classify, 2 decide, 3 recall, 4 infer, 5 judge, 6 escalate, 7 record. Each lives in a module of its own; only this one
joins them.
"""

import asyncio
import secrets
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic

from agent.cache.exact import CachedAnswer, ExactCache, repeatable
from agent.classify import Classifier
from agent.confidence import ConfidenceSettings
from agent.escalation import EscalationFailed, Escalator
from agent.inference.away import ModelAway
from agent.inference.current import LocalModel
from agent.narrowing import Narrowing, both
from agent.prompts import Answer, Delta, Message, Prompt, Sampling
from agent.routes import LocalAnswer, Models, Outcome, departed, escalated, recalled
from agent.store.audit import ReceiptStore
from agent.store.conversations import ConversationStore
from agent.telemetry import Metrics
from agent.tracing import CLASSIFY, DECIDE, JUDGE, RECALL, RECORD
from agent.turns import Turns
from contract.classification import Classification
from contract.errors import Reason, SeawallError
from contract.policy import Decision, Policy
from contract.receipts import Receipt
from contract.tracing import NO_TRACING, Tracing


@dataclass(frozen=True, slots=True)
class Parts:
    """What the steps are done with.

    Args:
        narrowing: returns what is narrowed now; asked for each prompt, and again before it leaves and before its answer is kept.
        tracing: told of each step.
    """

    agent_id: str
    classifier: Classifier
    policy: Policy
    cache: ExactCache
    models: Models
    confidence: ConfidenceSettings
    escalator: Escalator
    conversations: ConversationStore
    receipts: ReceiptStore
    metrics: Metrics
    narrowing: Callable[[], Narrowing] = Narrowing
    tracing: Tracing = NO_TRACING


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt, and what is known of it once it is classified and decided on."""

    prompt: Prompt
    model: LocalModel
    messages: tuple[Message, ...]
    judged: Sampling
    found: Classification
    narrowing: Narrowing
    classification: Classification
    decision: Decision
    bar: float
    started: float


@dataclass(frozen=True, slots=True)
class Routed:
    """The way that was chosen, for what was asked as it was decided on last, and why."""

    asked: Asked
    pieces: AsyncGenerator[str | Outcome, None]
    reasons: tuple[str, ...]


class Pipeline:
    """Answers prompts; see `agent.prompts.Answerer`.

    Args:
        parts: one for each step.
        clock: returns the time, UTC.
    """

    def __init__(self, parts: Parts, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._parts = parts
        self._clock = clock
        self._turns = Turns()

    async def answer(self, prompt: Prompt) -> AsyncGenerator[Delta | Answer, None]:
        """Answers a prompt: Deltas, then one Answer. Closing it early cancels the work; see Answerer for what it raises."""
        try:
            async with AsyncExitStack() as stack:
                asked = await self._hear(prompt, stack)
                routed = await self._route(asked, stack)
                await stack.enter_async_context(aclosing(routed.pieces))
                texts: list[str] = []
                async for piece in routed.pieces:
                    if isinstance(piece, Outcome):
                        yield await self._record(routed.asked, "".join(texts), piece, routed.reasons)
                    elif piece:
                        if not texts:
                            self._parts.metrics.first_token(monotonic() - asked.started)
                        texts.append(piece)
                        yield Delta(piece)
        except SeawallError as error:
            self._parts.metrics.refused(error.reason)
            raise
        except Exception:
            self._parts.metrics.refused(Reason.INTERNAL)
            raise

    async def _hear(self, prompt: Prompt, stack: AsyncExitStack) -> Asked:
        started = monotonic()
        await stack.enter_async_context(self._turns.of(prompt))
        model = stack.enter_context(self._parts.models.held())
        messages = await self._with_earlier_turns(prompt, model)
        narrowing = self._parts.narrowing()
        # 1 classify
        with self._parts.tracing.step(CLASSIFY):
            found = (await self._parts.classifier.look(messages)).classification
        # 2 decide
        with self._parts.tracing.step(DECIDE):
            classification, decision = narrowing.decide(found, self._decide)
        wanted, settings = _seeded(prompt), self._parts.confidence
        narrowed = replace(wanted, sampling=narrowing.sampling(wanted.sampling))
        judged = narrowing.judged(wanted.sampling, settings.held_tokens)
        bar = min(settings.bar, narrowing.bar)
        return Asked(narrowed, model, messages, judged, found, narrowing, classification, decision, bar, started)

    def _decide(self, classification: Classification) -> Decision:
        return self._parts.policy.decide(self._parts.agent_id, classification)

    def _narrowed_again(self, asked: Asked) -> Asked:
        """Returns what was asked under what is narrowed now as well: more may have been while the model or the hub was waited for."""
        narrowing = self._parts.narrowing()
        if narrowing == asked.narrowing:
            return asked
        classification, decision = narrowing.decide(asked.found, self._decide)
        if classification.data_class < asked.classification.data_class:
            classification = asked.classification
        bar = min(asked.bar, narrowing.bar)
        return replace(asked, narrowing=narrowing, classification=classification, decision=both(asked.decision, decision), bar=bar)

    async def _route(self, asked: Asked, stack: AsyncExitStack) -> Routed:
        parts, decision, sampling = self._parts, asked.decision, asked.prompt.sampling
        # 3 recall
        with parts.tracing.step(RECALL):
            kept = await self._recall(asked) if decision.may_cache else None
        if kept is not None:
            return Routed(asked, recalled(kept), (*decision.policy_ids, "cached"))
        # 4 infer
        held_tokens = parts.confidence.held_tokens
        local = LocalAnswer(asked.model, asked.messages, asked.judged, asked.prompt.client, held_tokens, sampling.max_tokens)
        await stack.enter_async_context(aclosing(local))
        # 5 judge
        with parts.tracing.step(JUDGE):
            try:
                is_confident = await local.judge() >= asked.bar
            except ModelAway as away:
                return await self._route_without_model(asked, away, stack)
        if is_confident:
            return Routed(asked, local.release(), (*decision.policy_ids, "confident"))
        if not decision.may_escalate:
            return Routed(asked, local.release(), (*decision.policy_ids, "not-confident"))
        # 6 escalate
        try:
            await parts.escalator.connect()
            await local.set_aside()
            asked = self._narrowed_again(asked)
            if not asked.decision.may_escalate or local.confidence >= asked.bar:
                return Routed(asked, local.release(), (*asked.decision.policy_ids, "not-confident"))
            return Routed(asked, await self._escalate(asked, local.confidence, stack), (*asked.decision.policy_ids, "not-confident"))
        except EscalationFailed as failure:
            departure = departed(asked.messages) if failure.sent else None
            reasons = (*asked.decision.policy_ids, "not-confident", failure.why)
            return Routed(asked, local.release(departure, provisional=True), reasons)

    async def _route_without_model(self, asked: Asked, away: ModelAway, stack: AsyncExitStack) -> Routed:
        """There is no model on the device now: what may leave the site is escalated, the rest refused, with when to ask again."""
        if not asked.decision.may_escalate:
            raise away
        # 6 escalate
        try:
            await self._parts.escalator.connect()
            asked = self._narrowed_again(asked)
            if not asked.decision.may_escalate:
                raise away
            return Routed(asked, await self._escalate(asked, None, stack), (*asked.decision.policy_ids, "model-away"))
        except EscalationFailed as failure:
            raise away from failure

    async def _recall(self, asked: Asked) -> CachedAnswer | None:
        digest = asked.model.bundle.digest()
        return await self._parts.cache.recall(asked.messages, asked.prompt.sampling, self._now(), digest)

    async def _escalate(self, asked: Asked, judged: float | None, stack: AsyncExitStack) -> AsyncGenerator[str | Outcome, None]:
        """Opens the hub's answer: its first piece where the client wants a stream, else all of it, so that a break costs nothing."""
        answer = self._parts.escalator.escalate(asked.messages, asked.prompt.sampling, asked.classification, asked.decision)
        await stack.enter_async_context(aclosing(answer))
        head = [await anext(answer)] if asked.prompt.stream else [piece async for piece in answer]
        return escalated(head, answer, asked.messages, judged)

    async def _record(self, asked: Asked, text: str, outcome: Outcome, reasons: tuple[str, ...]) -> Answer:
        # 7 record
        with self._parts.tracing.step(RECORD):
            return await self._recorded(asked, text, outcome, self._receipt(asked, outcome, reasons))

    async def _recorded(self, asked: Asked, text: str, outcome: Outcome, receipt: Receipt) -> Answer:
        if self._narrowed_again(asked).decision.may_cache and outcome.route != "cache" and not outcome.provisional:
            digest = asked.model.bundle.digest()
            await self._parts.cache.keep(asked.messages, asked.prompt.sampling, _cached(text, outcome), self._now(), digest)
        if asked.prompt.conversation is not None:
            await self._parts.conversations.append(asked.prompt, Message("assistant", text), self._now())
        await self._parts.receipts.append(asked.prompt.client, receipt, self._now())
        self._parts.metrics.answered(receipt, outcome.input_tokens, outcome.output_tokens)
        return Answer(text, outcome.finish_reason, outcome.input_tokens, outcome.output_tokens, receipt)

    def _receipt(self, asked: Asked, outcome: Outcome, reasons: tuple[str, ...]) -> Receipt:
        return Receipt(
            receipt_id=str(uuid.uuid4()),
            prompt_id=asked.prompt.prompt_id,
            create_time=self._clock().isoformat(timespec="milliseconds"),
            route=outcome.route,
            reasons=(*asked.classification.reasons, *reasons),
            data_class=str(asked.classification.data_class),
            data_kinds=asked.classification.kinds,
            confidence=None if outcome.confidence is None else round(outcome.confidence, 4),
            provisional=outcome.provisional,
            model=outcome.model,
            model_digest=outcome.model_digest,
            departure=outcome.departure,
            milliseconds=round((monotonic() - asked.started) * 1000, 1),
        )

    async def _with_earlier_turns(self, prompt: Prompt, model: LocalModel) -> tuple[Message, ...]:
        """Returns the conversation's turns before the prompt's own; the oldest are left out where they do not fit."""
        if prompt.conversation is None:
            return prompt.messages
        earlier = await self._parts.conversations.earlier(prompt, self._now())
        room = model.context_tokens * 3 // 4
        while earlier and await asyncio.to_thread(model.count_tokens, (*earlier, *prompt.messages)) > room:
            earlier = earlier[1:]
        return (*earlier, *prompt.messages)

    def _now(self) -> float:
        return self._clock().timestamp()


def _seeded(prompt: Prompt) -> Prompt:
    """Fixes the seed of random sampling, so that an answer that is begun anew is the one that was judged."""
    if prompt.sampling.seed is not None or repeatable(prompt.sampling):
        return prompt
    return replace(prompt, sampling=replace(prompt.sampling, seed=secrets.randbits(32)))


def _cached(text: str, outcome: Outcome) -> CachedAnswer:
    return CachedAnswer(
        text,
        outcome.finish_reason,
        outcome.input_tokens,
        outcome.output_tokens,
        outcome.model,
        outcome.model_digest,
        outcome.confidence,
    )
