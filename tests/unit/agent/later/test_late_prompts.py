"""What lies in the outbox comes out as it went in."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.later.prompts import LatePrompt
from agent.prompts import Message, Prompt, Sampling
from contract.classification import DataClass

PROMPT = Prompt(
    "p1",
    "till",
    (Message("user", "one"), Message("assistant", "two"), Message("user", "drei ü")),
    datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
    "tea",
    Sampling(64, 0.5, 0.9, 3, 7, 1.1, ("stop", "end")),
    intake="mqtt",
)
LATE = LatePrompt(PROMPT, "receipt-1", DataClass.CONFIDENTIAL, True)


@pytest.mark.parametrize("late", [LATE, replace(LATE, prompt=replace(PROMPT, conversation=None, sampling=Sampling()), must_redact=False)])
def test_it_is_read_as_it_was_written(late: LatePrompt) -> None:
    assert LatePrompt.from_bytes(late.to_bytes()) == late


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"messages": [{"role": "user"}]}, {"sampling": {"warmth": 1}}, {"data_class": 9}, {"received_time": "then"}]
)
def test_what_another_version_has_written_is_not_guessed_at(change: dict[str, object]) -> None:
    content = {**json.loads(LATE.to_bytes()), **change}
    assert LatePrompt.from_bytes(json.dumps(content).encode()) is None


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff"])
def test_what_is_no_prompt_is_none(content: bytes) -> None:
    assert LatePrompt.from_bytes(content) is None
