"""What is in a request to `/v1/chat/completions`, and in its answer: OpenAI's forms, to and from ours. Pure.

Reference: https://platform.openai.com/docs/api-reference/chat (2026). Fields of it that would change the answer and are not supported are
refused, unless they have the value that changes nothing; fields that are only for OpenAI's own bookkeeping are accepted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from agent.intake import strict_json
from agent.intake.fields import InvalidField, Request, SamplingRequest, TimeoutSeconds, checked_messages, explained
from agent.prompts import Answer, Message, Sampling
from contract.errors import InvalidRequest, NotFound, Reason, SeawallError

_WITHOUT_EFFECT = frozenset(
    {
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)

_ONLY: Mapping[str, tuple[Any, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("auto", "none"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": ("none",),
    "response_format": ({"type": "text"},),
    "tool_choice": ("auto", "none"),
    "tools": ([],),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
    "web_search_options": (),
}
"""Fields that are not supported, with the values that change nothing; null is always one."""

_ONLY_IN_MESSAGES = ("annotations", "audio", "function_call", "refusal", "tool_calls")


def _text_of(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    if not all(isinstance(part, dict) and part.keys() == {"type", "text"} and part["type"] == "text" for part in content):
        raise PydanticCustomError("content", 'Only parts of the form {"type": "text", "text": "..."} are supported')
    if not all(isinstance(part["text"], str) for part in content):
        raise PydanticCustomError("content", "The text of a part should be a string")
    return "".join(part["text"] for part in content)


class _ChatMessage(Request):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_text_of)]
    name: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, message: Any) -> Any:
        if not isinstance(message, dict):
            return message
        return {key: value for key, value in message.items() if not (key in _ONLY_IN_MESSAGES and value in (None, []))}

    def message(self) -> Message:
        return Message("system" if self.role == "developer" else self.role, self.content)


class _StreamOptions(Request):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class _ChatRequest(SamplingRequest):
    model: str = ""
    messages: Annotated[list[_ChatMessage], Field(fail_fast=True)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    timeout_seconds: TimeoutSeconds | None = None


_KNOWN = (*_ChatRequest.model_fields, *_ChatMessage.model_fields, *_ONLY, *_WITHOUT_EFFECT)


@dataclass(frozen=True, slots=True)
class Chat:
    """What is asked for. `include_usage`: a stream ends with a chunk that counts tokens. `timeout_seconds`: see `agent.prompts.Prompt`."""

    messages: tuple[Message, ...]
    sampling: Sampling
    stream: bool
    include_usage: bool
    timeout_seconds: float | None = None


def read_chat(body: bytes, model: str) -> Chat:
    """Reads a request.

    Args:
        body: as it came.
        model: the name of the only model there is.

    Raises:
        InvalidRequest: UTF8_INVALID, JSON_INVALID, FIELD_UNKNOWN, FIELD_INVALID, PROMPT_INVALID.
        NotFound: MODEL_UNKNOWN.
    """
    content = strict_json.read(body)
    if not isinstance(content, dict):
        raise InvalidRequest(Reason.JSON_INVALID, 'The body is JSON, but no object: send {"model": "...", "messages": [...]}.')
    try:
        request = _ChatRequest.model_validate(_supported(content))
    except ValidationError as error:
        raise explained(error, _KNOWN) from None
    if request.model not in (model, ""):  # OpenAI's API asks for a name; with one model there is nothing to choose
        raise NotFound(Reason.MODEL_UNKNOWN, f"There is no model {strict_json.named(request.model)} here: ask for '{model}'.")
    return Chat(
        messages=checked_messages(tuple(message.message() for message in request.messages)),
        sampling=_sampling(request),
        stream=bool(request.stream),
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
        timeout_seconds=request.timeout_seconds,
    )


def _supported(content: dict[str, Any]) -> dict[str, Any]:
    for field, values in _ONLY.items():
        value = content.get(field)
        if value is not None and value not in values:
            raise InvalidField(Reason.FIELD_INVALID, f"The field '{field}' is not supported with this value: leave it out.", field)
    return {field: value for field, value in content.items() if field not in _ONLY and field not in _WITHOUT_EFFECT}


def _sampling(request: _ChatRequest) -> Sampling:
    if request.max_completion_tokens is None:
        return request.sampling()
    if request.max_tokens is not None:
        raise InvalidField(
            Reason.FIELD_INVALID, "Both 'max_tokens' and 'max_completion_tokens' are given: send one of them.", "max_completion_tokens"
        )
    return request.model_copy(update={"max_tokens": request.max_completion_tokens}).sampling()


@dataclass(frozen=True, slots=True)
class Completion:
    """Writes the answers to one request.

    Args:
        completion_id: unique.
        created: POSIX time, in whole seconds.
        model: the name that was asked for.
    """

    completion_id: str
    created: int
    model: str

    def whole(self, answer: Answer) -> dict[str, Any]:
        """Returns the answer in one piece, with its receipt as `seawall`."""
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason, "logprobs": None}
        return {**self._head("chat.completion"), "choices": [choice], "usage": _usage(answer), "seawall": answer.receipt.to_dict()}

    def first_chunk(self) -> dict[str, Any]:
        """Returns the chunk that begins a stream."""
        return self._chunk({"role": "assistant", "content": ""})

    def chunk(self, text: str) -> dict[str, Any]:
        """Returns a piece of the answer."""
        return self._chunk({"content": text})

    def last_chunk(self, answer: Answer) -> dict[str, Any]:
        """Returns the chunk that says why the answer ended, with its receipt as `seawall`."""
        return {**self._chunk({}, answer.finish_reason), "seawall": answer.receipt.to_dict()}

    def usage_chunk(self, answer: Answer) -> dict[str, Any]:
        """Returns the chunk that counts tokens."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": _usage(answer)}

    def _chunk(self, delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.completion_id, "object": kind, "created": self.created, "model": self.model}


def _usage(answer: Answer) -> dict[str, int]:
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }


def write_models(model: str, created: int) -> dict[str, Any]:
    """Returns the list of models."""
    return {"object": "list", "data": [write_model(model, created)]}


def write_model(model: str, created: int) -> dict[str, Any]:
    """Returns the description of a model."""
    return {"id": model, "object": "model", "created": created, "owned_by": "seawall"}


_CODES = {
    Reason.API_KEY_INVALID: "invalid_api_key",
    Reason.FIELD_UNKNOWN: "unknown_parameter",
    Reason.FIELD_INVALID: "invalid_value",
    Reason.MODEL_UNKNOWN: "model_not_found",
    Reason.PROMPT_TOO_LONG: "context_length_exceeded",
    Reason.QUEUE_FULL: "rate_limit_exceeded",
}
"""The codes that programs written for OpenAI know; for other reasons, the reason in lower case."""


def write_error(error: SeawallError) -> dict[str, Any]:
    """Returns an error in OpenAI's form."""
    field = error.field if isinstance(error, InvalidField) else None
    return error_body(error.http_status, error.message, _CODES.get(error.reason, error.reason.lower()), field)


def error_body(status: int, message: str, code: str, field: str | None = None) -> dict[str, Any]:
    """Returns an error in OpenAI's form, by the HTTP status that it goes with."""
    kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": field, "code": code}}
