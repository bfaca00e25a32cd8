"""Step 6: asks the hub for a better answer, for prompts that may leave."""

import asyncio
import math
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from time import monotonic
from typing import Protocol

import grpc

from agent.hub_channel import asked_wait_seconds, hub_reason
from agent.hub_link import HubLink
from agent.prompts import FinishReason, Message, Sampling
from contract import telemetry
from contract.classification import Classification
from contract.decision import Decision, Route
from contract.errors import Reason, Unavailable
from contract.surroundings import Surroundings
from contract.tracing import NO_TRACING, TRACEPARENT, Attributes, Kind, Span, Tracing
from seawall.hub.v1 import escalation_pb2 as pb
from seawall.hub.v1 import escalation_pb2_grpc

_ROLES = {"system": pb.MESSAGE_ROLE_SYSTEM, "user": pb.MESSAGE_ROLE_USER, "assistant": pb.MESSAGE_ROLE_ASSISTANT}
_TIERS = {"private": pb.PROVIDER_TIER_PRIVATE, "public": pb.PROVIDER_TIER_PUBLIC}
_TIER_NAMES = {value: name for name, value in _TIERS.items()}
_SPAN = "seawall.hub.v1.EscalationService/EscalatePrompt"
_SPAN_ATTRIBUTES: Attributes = {
    telemetry.RPC_SYSTEM: "grpc",
    telemetry.RPC_SERVICE: "seawall.hub.v1.EscalationService",
    telemetry.RPC_METHOD: "EscalatePrompt",
}
_MOST_POLICY_IDS, _LONGEST_POLICY_ID = 64, 128  # the hub takes no more
QUOTA_SPENT = "quota-spent"
_PASSING = ("hub-unavailable", "providers-unavailable")
"""What is over when the hub, or a provider, is there again. All else is a refusal, which would be the same again."""
_FINISH_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length", "content_filter": "content_filter"}


@dataclass(frozen=True, slots=True)
class Completion:
    """What answered, and what it took.

    Args:
        notes: what is to be said of the answer in the receipt; one with notes is not kept.
    """

    provider: str
    tier: str
    region: str
    model: str
    input_tokens: int
    output_tokens: int
    finish_reason: FinishReason
    notes: tuple[str, ...] = ()


class EscalationFailed(Unavailable):
    """No better answer could be had, or it broke off.

    Args:
        why: in the words of a receipt: `hub-unavailable`, `providers-unavailable`, …
        sent: whether the prompt may have left the site. True wherever that is not certain.
    """

    def __init__(self, why: str, sent: bool) -> None:
        super().__init__(Reason.HUB_UNAVAILABLE, f"The better answer broke off ({why}): ask again.")
        self.why = why
        self.sent = sent

    @property
    def is_passing(self) -> bool:
        """Whether somebody could not be reached, so that it is worth asking again."""
        return self.why in _PASSING


class Escalator(Protocol):
    """What the pipeline needs of the way to the hub."""

    async def connect(self) -> None:
        """Makes sure that the hub can be asked; nothing of a prompt is sent.

        Raises:
            EscalationFailed: it cannot.
        """
        ...

    def escalate(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        classification: Classification,
        decision: Decision,
        surroundings: Surroundings,
    ) -> AsyncGenerator[str | Completion, None]:
        """Sends a prompt out and yields the answer's pieces, then one Completion.

        Args:
            messages: what leaves.
            sampling: how the answer is wanted.
            classification: of the prompt, for the hub's own policy.
            decision: where it may go.
            surroundings: that it was decided in, for the same.

        Raises:
            EscalationFailed: there is no answer, or it broke off.
        """
        ...


class HubEscalator:
    """Asks the hub over the agent's channel.

    Args:
        link: to the hub, authenticated both ways.
        connect_seconds: how long an answer waits for a connection.
        timeout_seconds: for a whole answer.
        tracing: told of each call; the hub goes on with the trace.
        clock: monotonic, in seconds.
        utc_now: returns the time; quotas are of a day in UTC.
    """

    def __init__(
        self,
        link: HubLink,
        connect_seconds: float = 2.0,
        timeout_seconds: float = 120.0,
        tracing: Tracing = NO_TRACING,
        clock: Callable[[], float] = monotonic,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._link = link
        self._tracing = tracing
        self._connect_seconds = connect_seconds
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._asked_until = -math.inf
        self._asked_why = ""
        self._utc_now = utc_now
        self._budget: tuple[int | None, date | None] = (None, None)

    async def connect(self) -> None:
        """Waits for the connection, unless the last try has just failed: then gRPC tries again by itself, later.

        A hub that has asked to be left alone, such as for a quota that is spent, is: no prompt leaves the site in vain.
        """
        if self._clock() < self._asked_until:
            raise EscalationFailed(self._asked_why, sent=False)
        with self._tracing.step("connect"), self._link.use() as channel:
            if channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                raise EscalationFailed("hub-unavailable", sent=False)
            try:
                await asyncio.wait_for(channel.channel_ready(), self._connect_seconds)
            except TimeoutError as error:
                raise EscalationFailed("hub-unavailable", sent=False) from error

    async def escalate(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        classification: Classification,
        decision: Decision,
        surroundings: Surroundings,
    ) -> AsyncGenerator[str | Completion, None]:
        """See Escalator."""
        request = pb.EscalatePromptRequest(
            request_id=str(uuid.uuid4()),
            messages=[pb.ChatMessage(role=_ROLES[message.role], content=message.content) for message in messages],
            allowed_providers=[_profile(route) for route in decision.routes],
            data_class=pb.DataClass.ValueType(int(classification.data_class)),
            max_output_tokens=sampling.max_tokens or 0,
            temperature=sampling.temperature,
            redacted=decision.must_redact,
            data_kinds=classification.kinds,
            policy_ids=[name[:_LONGEST_POLICY_ID] for name in decision.policy_ids[:_MOST_POLICY_IDS]],
            intake=surroundings.intake,
            latency_milliseconds=surroundings.latency_milliseconds,
            budget_tokens=surroundings.budget_tokens,
        )
        with self._tracing.step(_SPAN, _SPAN_ATTRIBUTES, Kind.CLIENT) as span, self._link.use() as channel:
            stub = escalation_pb2_grpc.EscalationServiceStub(channel)
            call = stub.EscalatePrompt(request, timeout=self._timeout_seconds, metadata=_metadata(span))
            try:
                async for response in call:
                    if response.text_delta:
                        yield response.text_delta
                    if response.HasField("completion"):
                        self._note_budget(response.completion)
                        yield _completion(response.completion)
                        return
            except grpc.aio.AioRpcError as error:
                reason = hub_reason(error) or Reason.HUB_UNAVAILABLE
                span.fail(reason)
                why = reason.lower().replace("_", "-")
                if wait_seconds := asked_wait_seconds(error):
                    self._asked_until, self._asked_why = self._clock() + wait_seconds, why
                    self._budget = (None, None)
                raise EscalationFailed(why, sent=True) from error
            finally:
                call.cancel()
            raise EscalationFailed("hub-unavailable", sent=True)

    def budget_tokens(self) -> int | None:
        """Returns how many tokens are left to spend today, as the hub said last; None: it has not said."""
        if self._clock() < self._asked_until and self._asked_why == QUOTA_SPENT:
            return 0
        left, day = self._budget
        return left if day == self._utc_now().date() else None

    def _note_budget(self, completion: pb.EscalatePromptResponse.Completion) -> None:
        left = completion.budget_tokens if completion.HasField("budget_tokens") else None
        self._budget = (left, self._utc_now().date())


class NoHub:
    """Stands where an agent is not enrolled: nothing can be sent."""

    def budget_tokens(self) -> None:
        """See HubEscalator: there is nobody to say."""

    async def connect(self) -> None:
        """See Escalator."""
        raise EscalationFailed("not-enrolled", sent=False)

    def escalate(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        classification: Classification,
        decision: Decision,
        surroundings: Surroundings,
    ) -> AsyncGenerator[str | Completion, None]:
        """See Escalator."""
        del messages, sampling, classification, decision, surroundings
        raise EscalationFailed("not-enrolled", sent=False)


def _profile(route: Route) -> pb.ProviderProfile:
    provider = route.provider
    return pb.ProviderProfile(
        name=provider.name,
        tier=_TIERS[provider.tier],
        region=provider.region,
        operator=provider.operator,
        retention_days=provider.retention_days,
    )


def _metadata(span: Span) -> tuple[tuple[str, str], ...] | None:
    return None if span.place is None else ((TRACEPARENT, str(span.place)),)


def _completion(message: pb.EscalatePromptResponse.Completion) -> Completion:
    return Completion(
        provider=message.provider,
        tier=_TIER_NAMES.get(message.tier, ""),
        region=message.region,
        model=message.model,
        input_tokens=message.input_tokens,
        output_tokens=message.output_tokens,
        finish_reason=_FINISH_REASONS.get(message.finish_reason, "stop"),
    )
