"""seawall.hub.v1.EscalationService."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, aclosing
from typing import Any

import grpc.aio

from contract.classification import DataClass
from contract.errors import InvalidRequest, Reason
from contract.surroundings import Provider
from contract.tracing import NO_TRACING, Tracing
from hub.api.fields import read_request_id
from hub.api.identity import CALLER
from hub.audit.recording import recorded
from hub.audit.trail import Trail
from hub.config import Limits
from hub.escalation.admission import Admission
from hub.escalation.prompts import Completion, Escalation, TextDelta, Tier, Turn
from hub.escalation.quotas import within_quotas
from hub.escalation.router import Router
from hub.escalation.ruling import Ruling
from hub.fleet.quotas import Quotas
from hub.tracing import begin_escalation
from seawall.hub.v1 import escalation_pb2, escalation_pb2_grpc

_ROLES: dict[int, Any] = {
    escalation_pb2.MESSAGE_ROLE_SYSTEM: "system",
    escalation_pb2.MESSAGE_ROLE_USER: "user",
    escalation_pb2.MESSAGE_ROLE_ASSISTANT: "assistant",
}
_TIERS: dict[int, Tier] = {escalation_pb2.PROVIDER_TIER_PRIVATE: "private", escalation_pb2.PROVIDER_TIER_PUBLIC: "public"}
_TIER_NUMBERS = {tier: number for number, tier in _TIERS.items()}
_INTAKES = ("", "http", "mqtt")
_MAX_TEMPERATURE = 2.0
_MAX_PROVIDERS = 256
_MAX_NAMES = 64
_KIND = re.compile(r"[A-Z0-9_]{1,64}")
_POLICY_ID = re.compile(r"(?s).{1,128}")

Held = Callable[[str], AbstractContextManager[None]]
"""Holds an agent's call, and ends it when the agent is shut out."""


class EscalationServicer(escalation_pb2_grpc.EscalationServiceServicer):
    """Answers what agents could not answer well."""

    def __init__(
        self,
        admission: Admission,
        ruling: Ruling,
        quotas: Quotas,
        router: Router,
        trail: Trail,
        limits: Limits,
        held: Held,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._admission = admission
        self._ruling = ruling
        self._quotas = quotas
        self._router = router
        self._trail = trail
        self._limits = limits
        self._held = held
        self._tracing = tracing

    async def EscalatePrompt(  # noqa: N802  # the proto's name
        self, request: escalation_pb2.EscalatePromptRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[escalation_pb2.EscalatePromptResponse]:
        """See the proto."""
        with begin_escalation(self._tracing, context.invocation_metadata() or ()):
            escalation = read_escalation(request, CALLER.get().name, self._limits)
            with self._held(escalation.agent_id):
                async with aclosing(recorded(self._trail, escalation, self._admitted(escalation))) as pieces:
                    async for piece in pieces:
                        yield _response(piece)

    async def _admitted(self, escalation: Escalation) -> AsyncGenerator[TextDelta | Completion, None]:
        with self._admission.admit(escalation):
            ruled = await self._ruling.rule(escalation)
            async with aclosing(within_quotas(self._quotas, ruled, self._router.answer(ruled))) as pieces:
                async for piece in pieces:
                    yield piece


def read_escalation(request: escalation_pb2.EscalatePromptRequest, agent_id: str, limits: Limits) -> Escalation:
    """Checks a request.

    Args:
        request: as it came.
        agent_id: from the certificate.
        limits: of size.

    Raises:
        InvalidRequest: PROMPT_INVALID, FIELD_INVALID.
    """
    return Escalation(
        request_id=read_request_id(request.request_id),
        agent_id=agent_id,
        turns=_read_turns(request, limits),
        allowed=_read_allowed(request),
        data_class=_read_data_class(request.data_class),
        max_output_tokens=_read_output_tokens(request.max_output_tokens, limits),
        temperature=_read_temperature(request.temperature),
        redacted=request.redacted,
        data_kinds=_read_names(request.data_kinds, _KIND, "data_kinds"),
        policy_ids=_read_names(request.policy_ids, _POLICY_ID, "policy_ids"),
        intake=_read_intake(request.intake),
        latency_milliseconds=request.latency_milliseconds if request.HasField("latency_milliseconds") else None,
        budget_tokens=request.budget_tokens if request.HasField("budget_tokens") else None,
    )


def _read_allowed(request: escalation_pb2.EscalatePromptRequest) -> frozenset[Provider]:
    """Those of a tier that nobody knows are passed over, and so are not allowed."""
    if len(request.allowed_providers) > _MAX_PROVIDERS:
        raise _invalid(f"it names more than {_MAX_PROVIDERS} providers")
    return frozenset(
        Provider(named.name, _TIERS[named.tier], named.region, named.operator, _days(named))
        for named in request.allowed_providers
        if named.tier in _TIERS
    )


def _days(named: escalation_pb2.ProviderProfile) -> int | None:
    return named.retention_days if named.HasField("retention_days") else None


def _read_names(names: Sequence[str], form: re.Pattern[str], what: str) -> tuple[str, ...]:
    """They are kept in clear for a long time, so that they must be what they are said to be."""
    if len(names) > _MAX_NAMES or not all(form.fullmatch(name) for name in names):
        raise _invalid(f"{what} must be at most {_MAX_NAMES} names")
    return tuple(sorted(set(names)))


def _read_turns(request: escalation_pb2.EscalatePromptRequest, limits: Limits) -> tuple[Turn, ...]:
    if not 0 < len(request.messages) <= limits.messages:
        raise _invalid(f"it must have 1 to {limits.messages} messages")
    if sum(len(message.content) for message in request.messages) > limits.prompt_characters:
        raise _invalid(f"it has more than {limits.prompt_characters} characters")
    if any(message.role not in _ROLES for message in request.messages):
        raise _invalid("each message must have the role system, user or assistant")
    last = request.messages[-1]
    if last.role != escalation_pb2.MESSAGE_ROLE_USER or not last.content.strip():
        raise _invalid("its last message must be the user's, with text in it")
    return tuple(Turn(_ROLES[message.role], message.content) for message in request.messages)


def _read_data_class(number: int) -> DataClass:
    try:
        return DataClass(number)
    except ValueError as error:
        raise _invalid("it must say its data class") from error


def _read_output_tokens(wanted: int, limits: Limits) -> int:
    if wanted < 0:
        raise _invalid("max_output_tokens must not be negative")
    return min(wanted or limits.output_tokens, limits.output_tokens)


def _read_intake(intake: str) -> str:
    if intake not in _INTAKES:
        raise _invalid("intake must be http, mqtt, or empty")
    return intake


def _read_temperature(value: float) -> float:
    if not 0 <= value <= _MAX_TEMPERATURE:  # not a number is outside too
        raise _invalid("temperature must be 0 to 2")
    return value


def _response(piece: TextDelta | Completion) -> escalation_pb2.EscalatePromptResponse:
    if isinstance(piece, TextDelta):
        return escalation_pb2.EscalatePromptResponse(text_delta=piece.text)
    return escalation_pb2.EscalatePromptResponse(
        completion=escalation_pb2.EscalatePromptResponse.Completion(
            provider=piece.provider,
            tier=_TIER_NUMBERS[piece.tier],  # type: ignore[arg-type]  # the stubs have their own type for enum numbers
            region=piece.region,
            model=piece.finish.model,
            input_tokens=piece.finish.input_tokens,
            output_tokens=piece.finish.output_tokens,
            finish_reason=piece.finish.finish_reason,
            budget_tokens=piece.budget_tokens,
        )
    )


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.PROMPT_INVALID, f"The prompt cannot be escalated: {why}.")
