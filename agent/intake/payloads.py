"""What is in an MQTT message: bytes to Prompt, Answer to bytes. Pure.

A prompt is `{"prompt": text}` or `{"messages": [{"role", "content"}, …]}`, and may have `id`, `conversation`, `floor`, `stream`,
`timeout_seconds` and the fields of `SamplingRequest`.

An answer is `{"id", "answer", "finish_reason", "usage", "receipt"}`, with `better_until` where a better one may follow, and that one
with `replaces`. A piece of one is `{"id", "index", "delta"}`, the last piece `{"id", "index", "done": true}`. A refusal is a problem
(RFC 9457) with `reason`, and `id` where it is known.
"""

import json
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from agent.intake import strict_json
from agent.intake.fields import ClassName, Id, Request, SamplingRequest, TimeoutSeconds, checked_messages, explained, is_id
from agent.prompts import Answer, Message, Prompt
from contract.classification import DataClass
from contract.errors import InvalidRequest, Reason, SeawallError

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"

State = Literal["online", "offline"]


class _Message(Request):
    role: Literal["system", "user", "assistant"]
    content: str


class _Payload(SamplingRequest):
    id: Id | None = None
    prompt: str | None = None
    messages: Annotated[list[_Message], Field(fail_fast=True)] | None = None
    conversation: Id | None = None
    floor: ClassName | None = None
    stream: bool | None = None
    timeout_seconds: TimeoutSeconds | None = None


_FIELDS = (*_Payload.model_fields, *_Message.model_fields)


def read_id(payload: bytes) -> str | None:
    """Returns the id in a payload, or None: it has none, or the payload is too broken to tell."""
    try:
        content = strict_json.read(payload)
    except InvalidRequest:
        return None
    name = content.get("id") if isinstance(content, dict) else None
    return name if isinstance(name, str) and is_id(name) else None


def read_prompt(payload: bytes, client: str, prompt_id: str, received_time: datetime) -> Prompt:
    """Reads a prompt.

    Args:
        payload: what came.
        client: who asks.
        prompt_id: the id that it has, or is given if it brings none.
        received_time: when it came.

    Raises:
        InvalidRequest: UTF8_INVALID, JSON_INVALID, FIELD_UNKNOWN, FIELD_INVALID, PROMPT_INVALID.
    """
    content = strict_json.read(payload)
    if not isinstance(content, dict):
        raise InvalidRequest(Reason.JSON_INVALID, 'The text is JSON, but no object: send {"prompt": "..."}.')
    try:
        request = _Payload.model_validate(content)
    except ValidationError as error:
        raise explained(error, _FIELDS) from None
    return Prompt(
        prompt_id=request.id or prompt_id,
        client=client,
        messages=checked_messages(_messages(request)),
        received_time=received_time,
        conversation=request.conversation,
        sampling=request.sampling(),
        stream=bool(request.stream),
        timeout_seconds=request.timeout_seconds,
        floor=DataClass[request.floor.upper()] if request.floor is not None else DataClass.PUBLIC,
    )


def _messages(request: _Payload) -> tuple[Message, ...]:
    if request.prompt is not None and request.messages is not None:
        raise InvalidRequest(Reason.FIELD_INVALID, "Both 'prompt' and 'messages' are given: send one of them.")
    if request.prompt is not None:
        return (Message("user", request.prompt),)
    return tuple(Message(message.role, message.content) for message in request.messages or ())


def write_answer(prompt_id: str, answer: Answer, replaces: str = "") -> bytes:
    """Writes an answer.

    Args:
        prompt_id: of the prompt.
        answer: to it.
        replaces: the id of the receipt of the provisional answer that this better one follows; empty: it follows none.
    """
    content: dict[str, Any] = {
        "id": prompt_id,
        "answer": answer.text,
        "finish_reason": answer.finish_reason,
        "usage": {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens},
        "receipt": answer.receipt.to_dict(),
    }
    if answer.better_until is not None:
        content["better_until"] = answer.better_until.isoformat(timespec="seconds")
    return _bytes({**content, "replaces": replaces} if replaces else content)


def write_chunk(prompt_id: str, index: int, delta: str) -> bytes:
    """Writes a piece of an answer; the first has index 0."""
    return _bytes({"id": prompt_id, "index": index, "delta": delta})


def write_last_chunk(prompt_id: str, index: int) -> bytes:
    """Writes that no more pieces come."""
    return _bytes({"id": prompt_id, "index": index, "done": True})


def write_problem(error: SeawallError, prompt_id: str | None) -> bytes:
    """Writes why there is no answer, as RFC 9457 has it."""
    problem = {
        "type": f"urn:seawall:problem:{error.reason}",
        "title": HTTPStatus(error.http_status).phrase,
        "status": error.http_status,
        "detail": error.message,
        "reason": error.reason,
    }
    return _bytes(problem if prompt_id is None else {**problem, "id": prompt_id})


def write_status(state: State, agent_id: str) -> bytes:
    """Writes whether the agent takes prompts."""
    return _bytes({"state": state, "agent": agent_id})


def _bytes(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
