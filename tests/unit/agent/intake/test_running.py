import asyncio
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from agent.intake.running import RunningAnswer
from agent.prompts import Answer, Delta, Message, Prompt
from contract.errors import Busy, Reason, SeawallError
from tests.fakes.answerer import FakeAnswerer, Faults

PROMPT = Prompt("p1", "device", (Message("user", "one two"),), datetime(2026, 11, 21, tzinfo=UTC))


async def test_pieces_come_in_order_and_the_answer_last() -> None:
    running = RunningAnswer(FakeAnswerer(), PROMPT)
    assert [await running.next_piece(), await running.next_piece()] == [Delta("two"), Delta(" one")]
    last = await running.next_piece()
    assert isinstance(last, Answer)
    assert last.text == "two one"
    await running.close()


async def test_a_refusal_comes_as_it_is() -> None:
    refusal = Busy(Reason.QUEUE_FULL, "later")
    running = RunningAnswer(FakeAnswerer(faults=Faults(refusal=refusal)), PROMPT)
    with pytest.raises(Busy) as refused:
        await running.answer()
    assert refused.value is refusal
    await running.close()


@pytest.mark.parametrize("faults", [Faults(bug=KeyError("the prompt's text")), Faults(silent=True)])
async def test_a_mistake_of_ours_is_internal_and_neither_log_nor_message_repeat_its_text(faults: Faults) -> None:
    running = RunningAnswer(FakeAnswerer(faults=faults), PROMPT)
    with capture_logs() as logs, pytest.raises(SeawallError) as failed:
        await running.answer()
    await running.close()
    assert failed.value.reason == Reason.INTERNAL
    (entry,) = logs
    assert (entry["event"], entry["client"]) == ("prompt_failed", "device")
    assert "the prompt's text" not in f"{entry} {failed.value.message}"
    if faults.bug:
        assert entry["error"] == "KeyError"
        assert any(frame.startswith("_pieces:") for frame in entry["frames"])


async def test_closing_cancels_the_work_and_waits_for_its_end() -> None:
    answerer = FakeAnswerer()
    answerer.gate = asyncio.Event()
    running = RunningAnswer(answerer, PROMPT)
    await answerer.begun.wait()
    await running.close()
    assert answerer.cancelled == ["p1"]
    assert answerer.at_once == 0


async def test_closing_after_the_end_is_nothing() -> None:
    answerer = FakeAnswerer()
    running = RunningAnswer(answerer, PROMPT)
    await running.answer()
    await running.close()
    await running.close()
    assert answerer.cancelled == []
