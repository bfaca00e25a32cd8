import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.intake import payloads
from agent.prompts import Answer, Message, Prompt, Sampling
from contract.classification import DataClass
from contract.errors import Busy, InvalidRequest, Reason, SeawallError
from tests.fakes.answerer import receipt

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def read(content: Any) -> Prompt:
    return payloads.read_prompt(json.dumps(content).encode(), "device", "made-up", NOW)


def test_the_least_prompt_has_the_defaults() -> None:
    assert read({"prompt": "hello"}) == Prompt("made-up", "device", (Message("user", "hello"),), NOW)


def test_all_fields_are_read() -> None:
    prompt = read(
        {
            "id": "p1",
            "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}, {"role": "user", "content": "b"}],
            "conversation": "c1",
            "floor": "confidential",
            "stream": True,
            "timeout_seconds": 30,
            "max_tokens": 10,
            "temperature": 1,
            "top_p": 0.5,
            "top_k": 40,
            "seed": 3,
            "repetition_penalty": 1.2,
            "stop": ["x", "y"],
        }
    )
    assert (prompt.prompt_id, prompt.conversation, prompt.floor, prompt.stream) == ("p1", "c1", DataClass.CONFIDENTIAL, True)
    assert prompt.timeout_seconds == 30
    assert prompt.messages == (Message("user", "a"), Message("assistant", ""), Message("user", "b"))
    assert prompt.sampling == Sampling(10, 1.0, 0.5, 40, 3, 1.2, ("x", "y"))


def test_null_means_left_out() -> None:
    names = (
        "id",
        "messages",
        "conversation",
        "floor",
        "stream",
        "timeout_seconds",
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "repetition_penalty",
        "stop",
    )
    assert read({"prompt": "hello", **dict.fromkeys(names)}) == read({"prompt": "hello"})


@pytest.mark.parametrize(
    ("content", "reason", "says"),
    [
        ({}, "PROMPT_INVALID", "no prompt"),
        ({"prompt": ""}, "PROMPT_INVALID", "empty"),
        ({"prompt": " \n\t"}, "PROMPT_INVALID", "empty"),
        ({"messages": []}, "PROMPT_INVALID", "no prompt"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "PROMPT_INVALID", "assistant"),
        ({"prompt": "x", "messages": []}, "FIELD_INVALID", "Both 'prompt' and 'messages'"),
        ({"promt": "x"}, "FIELD_UNKNOWN", "'promt' is unknown. Did you mean 'prompt'"),
        ({"prompt": "x", "maxtokens": 3}, "FIELD_UNKNOWN", "Did you mean 'max_tokens'"),
        ({"prompt": "x", "zzz": 3}, "FIELD_UNKNOWN", "'zzz' is unknown. Leave it out"),
        ({"messages": [{"role": "user", "contnt": "x"}]}, "FIELD_UNKNOWN", r"'messages\[0\].contnt' is unknown. Did you mean 'content'"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "FIELD_INVALID", r"'messages\[0\].role'.*'user'"),
        ({"messages": [{"role": "user"}]}, "FIELD_INVALID", r"'messages\[0\].content'"),
        ({"messages": ["x"]}, "FIELD_INVALID", r"'messages\[0\]'.*object"),
        ({"messages": "x"}, "FIELD_INVALID", "'messages'"),
        ({"prompt": 5}, "FIELD_INVALID", "'prompt'"),
        ({"prompt": "x", "stream": "yes"}, "FIELD_INVALID", "'stream'"),
        ({"prompt": "x", "stream": 1}, "FIELD_INVALID", "'stream'"),
        ({"prompt": "x", "max_tokens": 0}, "FIELD_INVALID", "'max_tokens'"),
        ({"prompt": "x", "max_tokens": True}, "FIELD_INVALID", "'max_tokens'"),
        ({"prompt": "x", "max_tokens": 1.5}, "FIELD_INVALID", "'max_tokens'"),
        ({"prompt": "x", "max_tokens": "9"}, "FIELD_INVALID", "'max_tokens'"),
        ({"prompt": "x", "temperature": 2.1}, "FIELD_INVALID", "'temperature'"),
        ({"prompt": "x", "temperature": -1}, "FIELD_INVALID", "'temperature'"),
        ({"prompt": "x", "top_p": 0}, "FIELD_INVALID", "'top_p'"),
        ({"prompt": "x", "top_k": -1}, "FIELD_INVALID", "'top_k'"),
        ({"prompt": "x", "seed": 2**63}, "FIELD_INVALID", "'seed'"),
        ({"prompt": "x", "seed": 10**400}, "FIELD_INVALID", "'seed'"),
        ({"prompt": "x", "repetition_penalty": 0}, "FIELD_INVALID", "'repetition_penalty'"),
        ({"prompt": "x", "stop": ""}, "FIELD_INVALID", r"'stop\[0\]'"),
        ({"prompt": "x", "stop": ["a"] * 9}, "FIELD_INVALID", "'stop'"),
        ({"prompt": "x", "id": ""}, "FIELD_INVALID", "'id'.*printable"),
        ({"prompt": "x", "id": "a\0b"}, "FIELD_INVALID", "'id'.*printable"),
        ({"prompt": "x", "id": "a" * 129}, "FIELD_INVALID", "'id'.*128"),
        ({"prompt": "x", "id": 7}, "FIELD_INVALID", "'id'"),
        ({"prompt": "x", "conversation": "a\n"}, "FIELD_INVALID", "'conversation'"),
        ({"prompt": "x", "floor": "secret"}, "FIELD_INVALID", "'floor'.*'restricted'"),
        ([], "JSON_INVALID", "no object"),
        ("prompt", "JSON_INVALID", "no object"),
    ],
)
def test_a_wrong_prompt_is_refused_with_the_field_and_what_is_wrong(content: Any, reason: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as refused:
        read(content)
    assert refused.value.reason == reason


@pytest.mark.parametrize("field", ["id", "conversation", "stream", "max_tokens", "stop", "messages"])
def test_a_refusal_does_not_repeat_what_was_sent(field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read({"prompt": "secret one", field: {"secret": "secret two"}})
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    ("payload", "prompt_id"),
    [
        (b'{"id": "p1", "promt": 5}', "p1"),
        (b'{"id": "a\\u0000"}', None),
        (b'{"id": 5}', None),
        (b"{}", None),
        (b"[]", None),
        (b"{", None),
        (b"\xff", None),
    ],
)
def test_the_id_of_a_broken_prompt_is_told_where_there_is_one(payload: bytes, prompt_id: str | None) -> None:
    assert payloads.read_id(payload) == prompt_id


def test_an_answer_is_written_with_its_receipt() -> None:
    written = json.loads(payloads.write_answer("p1", Answer("héllo", "length", 3, 5, receipt("p1"))))
    assert written == {
        "id": "p1",
        "answer": "héllo",
        "finish_reason": "length",
        "usage": {"input_tokens": 3, "output_tokens": 5},
        "receipt": json.loads(json.dumps(receipt("p1").to_dict())),
    }


def test_an_answer_says_until_when_a_better_one_may_follow_and_that_one_which_it_replaces() -> None:
    until = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)
    answer = Answer("a", "stop", 3, 5, receipt("p1"), until)
    assert json.loads(payloads.write_answer("p1", answer))["better_until"] == "2026-01-02T03:04:05+00:00"
    better = json.loads(payloads.write_answer("p1", replace(answer, better_until=None), replaces="receipt-0"))
    assert (better["id"], better["replaces"], "better_until" in better) == ("p1", "receipt-0", False)


def test_pieces_are_numbered_and_the_last_one_says_so() -> None:
    assert json.loads(payloads.write_chunk("p1", 0, " a")) == {"id": "p1", "index": 0, "delta": " a"}
    assert json.loads(payloads.write_last_chunk("p1", 1)) == {"id": "p1", "index": 1, "done": True}


def test_a_problem_is_as_rfc_9457_has_it() -> None:
    assert json.loads(payloads.write_problem(Busy(Reason.QUEUE_FULL, "Later."), "p1")) == {
        "type": "urn:seawall:problem:QUEUE_FULL",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "Later.",
        "reason": "QUEUE_FULL",
        "id": "p1",
    }
    assert "id" not in json.loads(payloads.write_problem(SeawallError(Reason.INTERNAL, "x"), None))
