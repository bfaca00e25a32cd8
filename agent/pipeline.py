"""The path of a prompt.

Its steps are 1 classify, 2 decide, 3 recall, 4 infer, 5 judge, 6 escalate, 7 record. Each lives in a module of its own; only this one
joins them.
"""

import asyncio
import secrets
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic

from agent.cache.exact import CachedAnswer, repeatable
from agent.cache.semantic import Asking
from agent.classify import Looked
from agent.escalation import EscalationFailed
from agent.inference.away import ModelAway
from agent.inference.current import LocalModel
from agent.inference.session import ModelFailed
from agent.later.prompts import FOLLOWED_UP, LatePrompt
from agent.narrowing import both, redacted_only
from agent.output_rules import screened
from agent.parts import Asked, Parts, Routed
from agent.prompts import Answer, Delta, Message, Prompt
from agent.redacting import Outgoing, restored
from agent.routes import LocalAnswer, Outcome, departed, escalated, recalled, whole
from agent.store.subjects import Subject
from agent.tracing import CLASSIFY, DECIDE, JUDGE, RECALL, RECORD
from agent.traffic import LiveAnswer
from agent.turns import Turns
from contract.classification import Classification, DataClass
from contract.decision import Decision, Sharing
from contract.errors import Reason, SeawallError
from contract.receipts import CACHED, SIMILAR, Receipt
from contract.surroundings import Surroundings, stepped


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
        asked: Asked | None = None
        try:
            async with AsyncExitStack() as stack:
                asked = await self._hear(prompt, stack)
                routed = await self._route(asked, stack)
                await stack.enter_async_context(aclosing(routed.pieces))
                texts: list[str] = []
                async for piece in routed.pieces:
                    if isinstance(piece, Outcome):
                        yield await self._record(routed, texts, piece)
                    elif piece:
                        if not texts:
                            self._parts.metrics.first_token(monotonic() - asked.started)
                        texts.append(piece)
                        yield Delta(piece)
        except SeawallError as error:
            self._parts.metrics.refused(error.reason)
            if asked is not None and (isinstance(error, ModelFailed) or error.reason is Reason.AGENT_STOPPING):
                self._parts.traffic.broke(asked.model.bundle.digest())
            raise
        except Exception:
            self._parts.metrics.refused(Reason.INTERNAL)
            raise

    async def _hear(self, prompt: Prompt, stack: AsyncExitStack) -> Asked:
        started = monotonic()
        await stack.enter_async_context(self._turns.of(prompt))
        model = stack.enter_context(self._parts.models.held())
        return await self._decided(prompt, model, await self._with_earlier_turns(prompt, model), started)

    async def _decided(
        self, prompt: Prompt, model: LocalModel, messages: tuple[Message, ...], started: float, least: DataClass = DataClass.PUBLIC
    ) -> Asked:
        narrowing = self._parts.narrowing()
        # 1 classify
        with self._parts.tracing.step(CLASSIFY):
            looked = await self._looked(prompt, messages, least)
        # 2 decide
        with self._parts.tracing.step(DECIDE):
            around = self._around(prompt)
            classification, decision = narrowing.decide(looked.classification, self._decider(around))
        wanted, settings = _seeded(prompt), self._parts.confidence
        narrowed = replace(wanted, sampling=narrowing.sampling(wanted.sampling))
        judged = narrowing.judged(wanted.sampling, settings.held_tokens)
        bar = min(settings.bar_for(model.bundle.digest(), self._parts.calibrations()), narrowing.bar)
        return Asked(narrowed, model, messages, judged, looked, narrowing, classification, around, decision, bar, started)

    async def _looked(self, prompt: Prompt, messages: Sequence[Message], least: DataClass) -> Looked:
        looked = await self._parts.classifier.look(messages, *self._parts.floors(prompt), prompt.floor)
        found = looked.classification
        if prompt.conversation is not None:
            subject, asked_time = Subject(prompt.client, prompt.conversation), prompt.received_time.timestamp()
            risen = await self._parts.classes.rise(subject, found.data_class, asked_time, self._now())
            found = found.raised(risen, "conversation-floor")
        return replace(looked, classification=found.raised(least, "floor"))

    def _decider(self, surroundings: Surroundings) -> Callable[[Classification], Decision]:
        return lambda classification: self._parts.policy.decide(self._parts.agent_id, classification, surroundings)

    def _around(self, prompt: Prompt) -> Surroundings:
        left = None
        if prompt.timeout_seconds is not None:
            waited_seconds = (self._clock() - prompt.received_time).total_seconds()
            left = stepped(int((prompt.timeout_seconds - waited_seconds) * 1000))
        return replace(self._parts.surroundings(), intake=prompt.intake, latency_milliseconds=left)

    def _decided_again(self, asked: Asked) -> Asked:
        """Returns what was asked under what holds now as well: narrowing, policy and hub may have changed meanwhile."""
        narrowing, around = self._parts.narrowing(), self._around(asked.prompt)
        classification, decision = narrowing.decide(asked.looked.classification, self._decider(around))
        if classification.data_class < asked.classification.data_class:
            classification = asked.classification
        decided, bar = both(asked.decision, decision), min(asked.bar, narrowing.bar)
        return replace(asked, narrowing=narrowing, classification=classification, surroundings=around, decision=decided, bar=bar)

    async def _route(self, asked: Asked, stack: AsyncExitStack) -> Routed:
        parts, decision, sampling = self._parts, asked.decision, asked.prompt.sampling
        # 3 recall
        with parts.tracing.step(RECALL):
            kept, how = await self._recall(asked) if decision.may_cache else (None, "")
        if kept is not None:
            return Routed(asked, recalled(kept), (*decision.policy_ids, how))
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
            is_wanted = decision.is_hub_unknown and not asked.narrowing.escalation_disabled
            return Routed(asked, local.release(provisional=is_wanted), (*decision.policy_ids, "not-confident"))
        # 6 escalate
        outgoing = Outgoing(asked.messages)
        try:
            await parts.escalator.connect()
            await local.set_aside()
            outgoing = await self._redacted(asked)
            asked = self._decided_again(asked)
            if not _may_leave(asked, outgoing) or local.confidence >= asked.bar:
                return Routed(asked, local.release(), (*asked.decision.policy_ids, "not-confident"))
            pieces = await self._escalate(asked, outgoing, local.confidence, stack)
            return Routed(asked, pieces, (*asked.decision.policy_ids, "not-confident"))
        except EscalationFailed as failure:
            departure = departed(outgoing) if failure.sent else None
            reasons = (*asked.decision.policy_ids, "not-confident", failure.why)
            return Routed(asked, local.release(departure, provisional=True), reasons, failure.is_passing)

    async def _route_without_model(self, asked: Asked, away: ModelAway, stack: AsyncExitStack) -> Routed:
        """There is no model on the device now: what may leave the site is escalated, the rest refused, with when to ask again."""
        if not asked.decision.may_escalate:
            raise away
        # 6 escalate
        try:
            await self._parts.escalator.connect()
            outgoing = await self._redacted(asked)
            asked = self._decided_again(asked)
            if not _may_leave(asked, outgoing):
                raise away
            return Routed(asked, await self._escalate(asked, outgoing, None, stack), (*asked.decision.policy_ids, "model-away"))
        except EscalationFailed as failure:
            raise away from failure

    async def _recall(self, asked: Asked) -> tuple[CachedAnswer | None, str]:
        """Returns a kept answer and how it was found: to the same question, else to one that means the same."""
        asking, similar = _asking(asked), self._parts.similar
        kept = await self._parts.cache.recall(asking.messages, asking.sampling, self._now(), asking.model_digest)
        if kept is not None or similar is None:
            return kept, CACHED
        found = await similar.recall(asking, self._now())
        return (None, "") if found is None else (found.answer, SIMILAR)

    async def _redacted(self, asked: Asked) -> Outgoing:
        """Returns what may leave: as it is, or redacted where the policy wants that."""
        if not asked.decision.must_redact:
            return Outgoing(asked.messages)
        return await self._parts.redactor.prepare(asked.prompt, asked.messages, asked.looked.findings, self._now())

    async def _escalate(
        self, asked: Asked, outgoing: Outgoing, judged: float | None, stack: AsyncExitStack
    ) -> AsyncGenerator[str | Outcome, None]:
        """Opens the hub's answer: its first piece where the client wants a stream, else all of it, so that a break costs nothing."""
        prompt, sampling = outgoing.messages, asked.prompt.sampling
        raw = self._parts.escalator.escalate(prompt, sampling, asked.classification, asked.decision, asked.surroundings)
        answer = restored(screened(raw, self._parts.rules), outgoing)
        await stack.enter_async_context(aclosing(answer))
        head = [await anext(answer)] if asked.prompt.stream else [piece async for piece in answer]
        return escalated(head, answer, outgoing, judged)

    async def _record(self, routed: Routed, texts: Sequence[str], outcome: Outcome) -> Answer:
        asked = routed.asked
        # 7 record
        with self._parts.tracing.step(RECORD):
            sharing = self._sharing(asked)
            receipt = self._receipt(asked, outcome, (*sharing.policy_ids, *routed.reasons, *outcome.notes))
            answer = await self._recorded(routed, "".join(texts), outcome, receipt, sharing)
        if outcome.route != "cache" and outcome.confidence is not None:
            given = tuple(texts) if outcome.route == "local" else ()
            is_unsure, sampling, digest = outcome.confidence < asked.bar, asked.prompt.sampling, asked.model.bundle.digest()
            self._parts.traffic.answered(LiveAnswer(digest, is_unsure, asked.messages, sampling, given, outcome.output_tokens))
        return answer

    def _sharing(self, asked: Asked) -> Sharing:
        """Returns what the policy in force now allows of the receipt, of the class that was found and of the one it was raised to."""
        around = self._around(asked.prompt)
        found, raised = (
            self._parts.policy.share(self._parts.agent_id, item, around) for item in (asked.looked.classification, asked.classification)
        )
        return found.both(raised)

    async def _recorded(self, routed: Routed, text: str, outcome: Outcome, receipt: Receipt, sharing: Sharing) -> Answer:
        asked = routed.asked
        await self._keep(asked, text, outcome)
        better_until = await self._promised(asked, receipt) if routed.is_unreached else None
        if asked.prompt.conversation is not None:
            await self._parts.conversations.append(asked.prompt, Message("assistant", text), self._now())
        may_record, may_learn = sharing.record.allowed, sharing.learn.allowed
        await self._parts.receipts.append(asked.prompt.client, receipt, self._now(), may_record, may_learn)
        if may_learn and self._parts.sketching is not None:
            self._parts.sketching.hear(asked.prompt, receipt.receipt_id)
        self._parts.metrics.answered(receipt, outcome.input_tokens, outcome.output_tokens)
        return Answer(text, outcome.finish_reason, outcome.input_tokens, outcome.output_tokens, receipt, better_until)

    async def _keep(self, asked: Asked, text: str, outcome: Outcome) -> None:
        is_worth_it = outcome.route != "cache" and not outcome.provisional and not outcome.notes
        if is_worth_it and (asked := self._decided_again(asked)).decision.may_cache:
            similar, asking = self._parts.similar, _asking(asked)
            question = None if similar is None else await similar.question(asking)
            kept = _cached(text, outcome)
            digest = await self._parts.cache.keep(asked.prompt, asked.messages, kept, self._now(), asking.model_digest, question)
            if similar is not None and question is not None and digest is not None:
                await similar.add(digest, question)

    async def _promised(self, asked: Asked, receipt: Receipt) -> datetime | None:
        if (promises := self._parts.promises) is None:
            return None
        prompt = replace(asked.prompt, messages=asked.messages, stream=False)
        late = LatePrompt(prompt, receipt.receipt_id, asked.classification.data_class, asked.decision.must_redact)
        return await promises.promise(late, asked.decision.may_cache, self._clock())

    async def reach(self) -> None:
        """See agent.later.prompts.LateAnswerer."""
        await self._parts.escalator.connect()

    async def better(self, late: LatePrompt) -> Answer:
        """See agent.later.prompts.LateAnswerer. The model on the device is not asked, and no live prompt of the conversation waits."""
        started = monotonic() - (self._clock() - late.prompt.received_time).total_seconds()
        async with AsyncExitStack() as stack:
            model = stack.enter_context(self._parts.models.held())
            asked = await self._decided(late.prompt, model, late.prompt.messages, started, late.data_class)
            if late.must_redact:
                asked = replace(asked, decision=redacted_only(asked.decision))
            outgoing = Outgoing(asked.messages)
            try:
                # 6 escalate
                outgoing = await self._redacted(asked)
                asked = self._decided_again(asked)
                if not _may_leave(asked, outgoing):
                    raise EscalationFailed("not-allowed", sent=False)
                text, outcome = await whole(await self._escalate(asked, outgoing, None, stack))
            except EscalationFailed as failure:
                if failure.sent:
                    await self._record_vain(asked, outgoing, failure)
                raise
        # 7 record
        return await self._record_better(asked, text, outcome)

    async def _record_better(self, asked: Asked, text: str, outcome: Outcome) -> Answer:
        prompt, receipt = asked.prompt, self._receipt(asked, outcome, (*asked.decision.policy_ids, FOLLOWED_UP, *outcome.notes))
        await self._keep(asked, text, outcome)
        if prompt.conversation is not None:
            async with self._turns.of(prompt):
                await self._parts.conversations.replace_answer(prompt, Message("assistant", text))
        await self._parts.receipts.append(prompt.client, receipt, self._now())  # counted and recorded as part of the first
        self._parts.metrics.took(outcome.route, outcome.input_tokens, outcome.output_tokens)
        return Answer(text, outcome.finish_reason, outcome.input_tokens, outcome.output_tokens, receipt)

    async def _record_vain(self, asked: Asked, outgoing: Outgoing, failure: EscalationFailed) -> None:
        """What left the site has its receipt, though no answer came."""
        outcome = Outcome("escalated", "stop", 0, 0, "", departure=departed(outgoing), provisional=True)
        receipt = self._receipt(asked, outcome, (*asked.decision.policy_ids, FOLLOWED_UP, failure.why))
        await self._parts.receipts.append(asked.prompt.client, receipt, self._now())

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
            input_tokens=outcome.input_tokens,
            output_tokens=outcome.output_tokens,
            intake=asked.prompt.intake,
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


def _may_leave(asked: Asked, outgoing: Outgoing) -> bool:
    """Says whether what was made ready may leave as it was decided on last."""
    return asked.decision.may_escalate and (outgoing.is_redacted or not asked.decision.must_redact)


def _seeded(prompt: Prompt) -> Prompt:
    """Fixes the seed of random sampling, so that an answer that is begun anew is the one that was judged."""
    if prompt.sampling.seed is not None or repeatable(prompt.sampling):
        return prompt
    return replace(prompt, sampling=replace(prompt.sampling, seed=secrets.randbits(32)))


def _asking(asked: Asked) -> Asking:
    data_class = max(asked.classification.data_class, asked.looked.classification.data_class)
    return Asking(asked.messages, asked.prompt.sampling, asked.model.bundle.digest(), data_class, asked.prompt.client)


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
