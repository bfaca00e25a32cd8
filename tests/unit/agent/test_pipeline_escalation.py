"""What leaves on the path of a prompt, what comes back, and what becomes of it when it does not."""

from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from agent.escalation import EscalationFailed
from agent.output_rules import build_rules
from agent.prompts import Delta, Message, Sampling
from agent.redacting import NOTE, Redactor
from contract.receipts import Departure
from tests.fakes.engine import FakeEngine
from tests.fakes.escalator import FakeEscalator
from tests.fakes.pipelines import MAIL, UNSURE, Build, ask, prompt
from tests.fakes.surroundings import HERE
from tests.fakes.vaults import MemoryVaults


def out(region: str = "de-fra") -> dict[str, Any]:
    """A site that may send redacted prompts to the private provider of its region."""
    return {"surroundings": lambda: replace(HERE, region=region, can_redact=True)}


async def test_an_unsure_public_prompt_is_escalated_and_its_answer_kept(build: Build) -> None:
    escalator = FakeEscalator(["better", " answer"])
    pipeline = build(FakeEngine(["a", " b", " c"], UNSURE), escalator)
    answer = await ask(pipeline, prompt("hello"))
    assert (answer.text, answer.receipt.route, answer.receipt.model) == ("better answer", "escalated", "big-model")
    assert answer.receipt.departure == Departure(1, len("hello"), "cloud", "private", "eu")
    again = await ask(pipeline, prompt("hello"))
    assert (again.text, again.receipt.route, again.receipt.departure) == ("better answer", "cache", None)


async def test_without_the_hub_the_local_answer_is_provisional_and_nothing_left(build: Build) -> None:
    pipeline = build(FakeEngine(["a", " b", " c"], UNSURE), FakeEscalator([], breaks_after=0, sent=False))
    for _ in range(2):
        answer = await ask(pipeline, prompt("hello"))
        assert (answer.text, answer.receipt.route, answer.receipt.provisional) == ("a b c", "local", True)
        assert answer.receipt.departure is None
        assert "hub-unavailable" in answer.receipt.reasons


@pytest.mark.parametrize("breaks_after", [0, 1])
async def test_a_whole_answer_falls_back_to_the_device_when_the_hub_breaks_off_and_says_what_left(build: Build, breaks_after: int) -> None:
    pipeline = build(FakeEngine(["a"], UNSURE), FakeEscalator(["half", " of it"], breaks_after=breaks_after))
    answer = await ask(pipeline, prompt("hello"))
    assert (answer.text, answer.receipt.route, answer.receipt.provisional) == ("a", "local", True)
    assert answer.receipt.departure == Departure(1, len("hello"))


async def test_a_stream_never_changes_its_route_after_the_first_text(build: Build) -> None:
    pipeline = build(FakeEngine(["local"], UNSURE), FakeEscalator(["half", " of it"], breaks_after=1))
    async with aclosing(pipeline.answer(prompt("hello", stream=True))) as pieces:
        assert await anext(pieces) == Delta("half")
        with pytest.raises(EscalationFailed):
            await anext(pieces)


async def test_the_model_is_free_while_the_hub_is_asked(build: Build) -> None:
    engine = FakeEngine(["a", "b", "c", "d"], UNSURE)
    await ask(build(engine, FakeEscalator(["better"])), prompt("hello"))
    assert engine.is_cancelled
    assert engine.given_words == 2


async def test_random_sampling_gives_the_judged_answer_when_the_hub_fails(build: Build) -> None:
    engine = FakeEngine(["a", "b", "c", "d"], UNSURE)
    await ask(build(engine, FakeEscalator([], breaks_after=0)), prompt("hello", sampling=Sampling(temperature=1.0)))
    first, second = engine.seeds
    assert first is not None
    assert first == second


@pytest.mark.parametrize("stream", [False, True])
async def test_personal_data_leaves_redacted_and_comes_back_in_the_answer(build: Build, stream: bool) -> None:
    escalator = FakeEscalator([])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, **out())
    escalator.answer = lambda messages: ["I wrote to ", *messages[-1].content.split()[2], "."]
    answer = await ask(pipeline, prompt(MAIL, stream=stream, conversation="talk"))
    assert answer.text == "I wrote to ada@example.org."
    (sent,) = escalator.sent
    assert sent[0] == Message("system", NOTE)
    assert "ada@" not in sent[1].content
    assert answer.receipt.departure == Departure(2, len(NOTE) + len(sent[1].content), "cloud", "private", "eu", 1)
    assert "confidential-may-leave-redacted" in answer.receipt.reasons


async def test_a_later_turn_of_the_conversation_leaves_under_the_same_placeholder(build: Build) -> None:
    escalator = FakeEscalator(["done"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, **out())
    await ask(pipeline, prompt(MAIL, conversation="talk"))
    await ask(pipeline, prompt("Did ada@example.org answer?", prompt_id="p2", conversation="talk"))
    first, second = escalator.sent
    token = first[1].content.split()[2]
    assert [message.content for message in second[1:]] == [f"Write to {token} about the pump.", "done", f"Did {token} answer?"]


async def test_where_it_cannot_be_redacted_it_stays(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, redactor=Redactor(MemoryVaults(breaks=True)), **out())
    answer = await ask(pipeline, prompt(MAIL, conversation="t"))
    assert (answer.text, answer.receipt.route, answer.receipt.departure) == ("a", "local", None)
    assert "redaction-failed" in answer.receipt.reasons
    assert escalator.sent == []


async def test_to_another_region_it_does_not_leave_though_it_were_redacted(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])
    answer = await ask(build(FakeEngine(["a"], UNSURE), escalator, **out("fr-par")), prompt(MAIL))
    assert answer.receipt.route == "local"
    assert escalator.sent == []


async def test_an_answer_that_the_rules_withhold_is_not_shown_and_the_local_one_is_provisional(build: Build) -> None:
    escalator = FakeEscalator(["about Project", " Heron, of course"])
    rules = build_rules(lambda _: False, ["Project Heron"])
    answer = await ask(build(FakeEngine(["a"], UNSURE), escalator, rules=rules), prompt("hello"))
    assert (answer.text, answer.receipt.route, answer.receipt.provisional) == ("a", "local", True)
    assert "output-denied" in answer.receipt.reasons
    assert answer.receipt.departure == Departure(1, 5)


async def test_an_answer_that_the_rules_note_is_shown_and_not_kept(build: Build) -> None:
    escalator = FakeEscalator(["SPDX-License-Identifier: MIT"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, rules=build_rules(lambda _: False))
    for number in range(2):
        answer = await ask(pipeline, prompt("hello", prompt_id=f"p{number}"))
        assert (answer.receipt.route, "output-licence" in answer.receipt.reasons) == ("escalated", True)
