import json
from typing import Any

import pytest

from agent.intake.chat import Chat, Completion, read_chat, write_error
from agent.intake.fields import InvalidField
from agent.prompts import Answer, Message, Sampling
from contract.errors import Busy, InvalidRequest, NotAuthenticated, NotFound, PromptTooLong, Reason, SeawallError, Unavailable
from tests.fakes.answerer import receipt

LEAST: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def read(**changes: Any) -> Chat:
    return read_chat(json.dumps({**LEAST, **changes}).encode(), "m")


def test_the_least_request_has_the_defaults() -> None:
    assert read() == Chat((Message("user", "hello"),), Sampling(), stream=False, include_usage=False)


def test_sampling_is_read_under_openais_names_and_the_further_ones_of_its_imitators() -> None:
    chat = read(temperature=0.5, top_p=0.9, top_k=4, seed=1, repetition_penalty=1.1, stop="x", max_tokens=7)
    assert chat.sampling == Sampling(7, 0.5, 0.9, 4, 1, 1.1, ("x",))
    assert read(max_completion_tokens=8).sampling.max_tokens == 8
    assert read(stop=["a", "b"]).sampling.stop == ("a", "b")


def test_a_client_may_say_how_long_it_waits() -> None:
    assert read(timeout_seconds=2.5).timeout_seconds == 2.5
    for wrong in (0, -1, 86_401, "2"):
        with pytest.raises(InvalidField) as caught:
            read(timeout_seconds=wrong)
        assert (caught.value.reason, caught.value.field) == (Reason.FIELD_INVALID, "timeout_seconds")


def test_a_stream_may_ask_for_usage() -> None:
    assert read(stream=True, stream_options={"include_usage": True}).include_usage
    assert not read(stream=True, stream_options={"include_obfuscation": False}).include_usage


def test_text_parts_are_joined_and_developer_means_system() -> None:
    parts = [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]
    chat = read(messages=[{"role": "developer", "content": "short"}, {"role": "user", "content": parts, "name": "ann"}])
    assert chat.messages == (Message("system", "short"), Message("user", "a b"))


def test_an_answer_as_the_official_client_dumps_it_may_be_sent_back() -> None:
    dumped: dict[str, Any] = {
        "content": "hi",
        "refusal": None,
        "role": "assistant",
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    }
    chat = read(messages=[LEAST["messages"][0], dumped, {"role": "user", "content": "more"}])
    assert [message.role for message in chat.messages] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    "harmless",
    [
        {
            "user": "ann",
            "metadata": {"a": "b"},
            "store": True,
            "service_tier": "auto",
            "safety_identifier": "x",
            "parallel_tool_calls": True,
        },
        {"n": 1, "frequency_penalty": 0, "presence_penalty": 0.0, "logprobs": False, "top_logprobs": 0, "logit_bias": {}},
        {"response_format": {"type": "text"}, "tools": [], "tool_choice": "none", "modalities": ["text"]},
        dict.fromkeys(
            ("n", "tools", "functions", "response_format", "audio", "stop", "temperature", "stream", "stream_options", "logit_bias")
        ),
    ],
)
def test_fields_that_change_nothing_are_accepted(harmless: dict[str, Any]) -> None:
    assert read(**harmless) == read()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("tools", [{"type": "function"}]),
        ("tool_choice", "required"),
        ("functions", [{}]),
        ("logit_bias", {"5": 1}),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("response_format", {"type": "json_object"}),
        ("frequency_penalty", 0.1),
        ("presence_penalty", -1),
        ("modalities", ["audio"]),
        ("audio", {}),
        ("prediction", {}),
        ("reasoning_effort", "high"),
        ("web_search_options", {}),
    ],
)
def test_a_field_that_is_not_supported_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidField, match=f"'{field}' is not supported") as refused:
        read(**{field: value})
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"temprature": 1}, Reason.FIELD_UNKNOWN, "temprature"),
        ({"model": 5}, Reason.FIELD_INVALID, "model"),
        ({"messages": "x"}, Reason.FIELD_INVALID, "messages"),
        ({"messages": [5]}, Reason.FIELD_INVALID, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, Reason.FIELD_INVALID, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, Reason.FIELD_INVALID, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, Reason.FIELD_INVALID, "messages[0].content"),
        ({"messages": [{"role": "user", "content": None}]}, Reason.FIELD_INVALID, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "x", "tool_calls": [1]}]}, Reason.FIELD_UNKNOWN, "messages[0].tool_calls"),
        ({"stream_options": {"x": 1}}, Reason.FIELD_UNKNOWN, "stream_options.x"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, Reason.FIELD_INVALID, "max_completion_tokens"),
        ({"temperature": 3}, Reason.FIELD_INVALID, "temperature"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], reason: Reason, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        read(**changes)
    assert (refused.value.reason, refused.value.field) == (reason, field)


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"{", "JSON_INVALID"), (b"[]", "JSON_INVALID"), (b"\xff", "UTF8_INVALID"), (b'{"model":"m","messages":[]}', "PROMPT_INVALID")],
)
def test_a_broken_body_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_chat(body, "m")
    assert refused.value.reason == reason


def test_another_model_is_not_found_and_the_message_names_the_one_there_is() -> None:
    with pytest.raises(NotFound, match="ask for 'm'") as refused:
        read(model="gpt")
    assert refused.value.reason == Reason.MODEL_UNKNOWN


ANSWER = Answer("hi there", "stop", 3, 2, receipt("c1"))
COMPLETION = Completion("c1", 1_700_000_000, "m")


def test_a_completion_has_openais_form_and_the_receipt() -> None:
    whole = COMPLETION.whole(ANSWER)
    assert (whole["id"], whole["object"], whole["created"], whole["model"]) == ("c1", "chat.completion", 1_700_000_000, "m")
    (choice,) = whole["choices"]
    assert choice["message"]["content"] == "hi there"
    assert choice["finish_reason"] == "stop"
    assert whole["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert whole["seawall"] == receipt("c1").to_dict()


def test_only_the_last_chunks_say_why_it_ended_and_what_it_cost() -> None:
    assert COMPLETION.chunk("hi")["choices"][0] == {"index": 0, "delta": {"content": "hi"}, "finish_reason": None, "logprobs": None}
    assert COMPLETION.last_chunk(ANSWER)["choices"][0]["finish_reason"] == "stop"
    assert COMPLETION.last_chunk(ANSWER)["seawall"]["route"] == "local"
    assert COMPLETION.usage_chunk(ANSWER)["choices"] == []


@pytest.mark.parametrize(
    ("error", "kind", "code", "param"),
    [
        (InvalidField(Reason.FIELD_INVALID, "x", "n"), "invalid_request_error", "invalid_value", "n"),
        (InvalidField(Reason.FIELD_UNKNOWN, "x", "y"), "invalid_request_error", "unknown_parameter", "y"),
        (NotAuthenticated(Reason.API_KEY_INVALID, "x"), "invalid_request_error", "invalid_api_key", None),
        (PromptTooLong(Reason.PROMPT_TOO_LONG, "x"), "invalid_request_error", "context_length_exceeded", None),
        (Busy(Reason.QUEUE_FULL, "x"), "rate_limit_error", "rate_limit_exceeded", None),
        (Unavailable(Reason.STORE_UNAVAILABLE, "x"), "server_error", "store_unavailable", None),
        (SeawallError(Reason.INTERNAL, "x"), "server_error", "internal", None),
    ],
)
def test_errors_have_the_codes_that_openais_clients_know(error: SeawallError, kind: str, code: str, param: str | None) -> None:
    assert write_error(error) == {"error": {"message": "x", "type": kind, "param": param, "code": code}}
