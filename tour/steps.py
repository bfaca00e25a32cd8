"""The walk: five prompts, each to show one thing, each checked by what its receipt says."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

EASY = "What is the boiling point of water?"
HARD = 'Translate "the harbour is closed tonight" into Norwegian.'
PERSONAL = "My card 4111 1111 1111 1111 was charged twice, what now?"
HARD_OFFLINE = "Write a limerick about a submarine."

Receipt = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One prompt of the walk.

    Args:
        name: for the JSON.
        title: what is to be seen.
        prompt: what is asked.
        holds: whether a receipt shows it.
        hub_stopped: whether the hub is stopped before.
    """

    name: str
    title: str
    prompt: str
    holds: Callable[[Receipt], bool]
    hub_stopped: bool = False


@dataclass(frozen=True, slots=True)
class Walked:
    """What came of a step."""

    step: Step
    answer: str
    receipt: Receipt
    milliseconds: float
    ok: bool


def _stayed(receipt: Receipt) -> bool:
    return receipt["departure"] is None


STEPS = (
    Step("local", "answered on the device", EASY, lambda r: r["route"] == "local" and not r["provisional"] and _stayed(r)),
    Step("cached", "the same again: from the cache", EASY, lambda r: r["route"] == "cache" and _stayed(r)),
    Step(
        "escalated",
        "the device is unsure of its own answer: asked through the hub",
        HARD,
        lambda r: r["route"] == "escalated" and r["departure"]["provider"] == "tour-cloud",
    ),
    Step(
        "kept",
        "a card number in it: stays on the device",
        PERSONAL,
        lambda r: r["route"] == "local" and r["data_kinds"] == ["CREDIT_CARD"] and _stayed(r),
    ),
    Step(
        "offline",
        "the hub is stopped: a local answer, marked provisional",
        HARD_OFFLINE,
        lambda r: r["route"] == "local" and r["provisional"],
        hub_stopped=True,
    ),
)


def walk(step: Step, ask: Callable[[str], dict[str, Any]]) -> Walked:
    """Asks a step's prompt and holds the receipt against what is to be seen."""
    started = time.monotonic()
    reply = ask(step.prompt)
    milliseconds = (time.monotonic() - started) * 1000
    receipt = reply.get("receipt")
    if receipt is None:
        return Walked(step, reply.get("detail", ""), {"route": "refused", "reasons": [reply.get("reason", "")]}, milliseconds, ok=False)
    return Walked(step, reply["answer"], receipt, milliseconds, ok=step.holds(receipt))
