"""What a device may report of its use: counts, one for each cell of a schema that is written here and nowhere else.

A receipt's words are never looked at but to be found in a closed set, and numbers fall into ranges; of a prompt itself it is counted in
which directions its embedding lies (`drift.py`), and nothing else. What each entry of a vector means is pinned by the schema's digest,
which a round's plan names: a device adds nothing to a sum of something else.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isqrt
from typing import get_args

from contract import drift
from contract.classification import DataClass
from contract.receipts import Receipt, Route, is_similar

SCHEMA_VERSION = 3
"""Rises where an entry comes to mean something else, once fleets have reported by it. `model.N.said` leaves out what was said of answers to
similar questions, as a device's own counts do (agent/store/live.py): the model was asked something else."""

ROUTES = get_args(Route)
CLASSES = tuple(str(data_class) for data_class in DataClass)
TIERS = ("private", "public")
OTHER = "other"
"""What this version does not know the name of."""
MILLISECONDS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000)
"""Upper bounds, each with it; one range is above them all."""
TOKENS = (16, 64, 256, 1024, 4096)
CELSIUS = (40, 50, 60, 70, 80, 90)
WATTS = (2, 5, 10, 15, 25, 40, 60, 100)
CONFIDENCE_TENTHS = 10
REFUSALS = (
    "hub-unavailable",
    "providers-unavailable",
    "no-provider-allowed",
    "quota-spent",
    "hub-busy",
    "deadline-exceeded",
    "not-enrolled",
    "redaction-failed",
)
"""Why a better answer was wanted and did not come, as receipts say it."""
MODEL_BUCKETS = 16
"""A model is counted by the first four bits of its digest: who knows which versions there are knows which bucket each falls into."""
MOST_CELLS_OF_ANSWER = 14 + drift.DIRECTIONS
"""One answer adds one to so many cells at most: route, class, provisional, tier, confidence, time, tokens in and out, refusal, model, four
of what people said of it: at all, of an answer from the cache, of its model, and of what was refused a better one; and where its prompt
lies in each direction."""
_MOST_CELLS_OF_DEVICE = 2
"""How hot it is, and what it draws."""

_SAID = ("good", "bad")

CELLS = (
    *(f"route.{name}" for name in (*ROUTES, OTHER)),
    *(f"class.{name}" for name in (*CLASSES, OTHER)),
    "provisional",
    *(f"left.{name}" for name in (*TIERS, OTHER)),
    *(f"confidence.{tenth}" for tenth in range(CONFIDENCE_TENTHS)),
    *(f"milliseconds.{bound}" for bound in (*MILLISECONDS, "more")),
    *(f"input_tokens.{bound}" for bound in (*TOKENS, "more")),
    *(f"output_tokens.{bound}" for bound in (*TOKENS, "more")),
    *(f"refused.{name}" for name in REFUSALS),
    *(f"said.{word}" for word in _SAID),
    *(f"cache.said.{word}" for word in _SAID),
    *(f"provisional.said.{word}" for word in _SAID),
    *(f"model.{bucket}" for bucket in range(MODEL_BUCKETS)),
    *(f"model.{bucket}.said.{word}" for bucket in range(MODEL_BUCKETS) for word in _SAID),
    *(f"celsius.{bound}" for bound in (*CELSIUS, "more")),
    *(f"watts.{bound}" for bound in (*WATTS, "more")),
    *(f"drift.{direction}.{bucket}" for direction in range(drift.DIRECTIONS) for bucket in range(drift.BUCKETS)),
)
"""What the entries mean, in order."""

_PLACE = {cell: number for number, cell in enumerate(CELLS)}
_DIGEST = re.compile(r"sha256:([0-9a-f])[0-9a-f]{63}")


@dataclass(frozen=True, slots=True)
class Used:
    """An answer that was given.

    Args:
        receipt: of it.
        is_good: what people said of it; None: nothing.
        sketch: of its prompt; None: there is none.
    """

    receipt: Receipt
    is_good: bool | None = None
    sketch: drift.Sketch | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """How a device is doing; None: nothing measures it.

    Args:
        celsius: how hot it is.
        watts: how much power it draws.
    """

    celsius: float | None = None
    watts: float | None = None


UNMEASURED = Condition()


def tally(answers: Iterable[Used], most_answers: int, condition: Condition = UNMEASURED) -> list[int]:
    """Returns the vector of a window.

    Args:
        answers: of the window.
        most_answers: how many are counted at most, so that what one device can change of a sum is known.
        condition: of the device.
    """
    counts = [0] * len(CELLS)
    for answer in islice(answers, most_answers):
        for cell in _cells(answer):
            counts[_PLACE[cell]] += 1
    for cell in _of_device(condition):
        counts[_PLACE[cell]] += 1
    return counts


def norm(most_answers: int) -> int:
    """Returns the greatest Euclidean norm of a tally, rounded up: where all answers fall into the same cells, and all is measured."""
    return isqrt(MOST_CELLS_OF_ANSWER * most_answers**2 + _MOST_CELLS_OF_DEVICE - 1) + 1


def named(sums: Sequence[int]) -> dict[str, int]:
    """Returns sums by what they are of."""
    return dict(zip(CELLS, sums, strict=True))


def model_bucket(model_digest: str) -> int | None:
    """Returns the bucket of a model's `sha256:…`; None: it is no digest, and may be anything."""
    found = _DIGEST.fullmatch(model_digest)
    return int(found[1], 16) if found else None


def _cells(answer: Used) -> Iterator[str]:
    receipt = answer.receipt
    yield f"route.{_known(receipt.route, ROUTES)}"
    yield f"class.{_known(receipt.data_class, CLASSES)}"
    if receipt.provisional:
        yield "provisional"
    if receipt.departure is not None:
        yield f"left.{_known(receipt.departure.tier, TIERS)}"
    if receipt.confidence is not None:
        yield f"confidence.{min(max(int(receipt.confidence * CONFIDENCE_TENTHS), 0), CONFIDENCE_TENTHS - 1)}"
    yield f"milliseconds.{_range(MILLISECONDS, receipt.milliseconds)}"
    yield f"input_tokens.{_range(TOKENS, receipt.input_tokens)}"
    yield f"output_tokens.{_range(TOKENS, receipt.output_tokens)}"
    yield from (f"refused.{name}" for name in [name for name in REFUSALS if name in receipt.reasons][:1])
    yield from _of_model(receipt, model_bucket(receipt.model_digest), answer.is_good)
    yield from (f"drift.{direction}.{bucket}" for direction, bucket in enumerate(answer.sketch or ()))


def _of_model(receipt: Receipt, bucket: int | None, is_good: bool | None) -> Iterator[str]:
    if bucket is not None:
        yield f"model.{bucket}"
    if is_good is None:
        return
    word = _SAID[0] if is_good else _SAID[1]
    yield f"said.{word}"
    if receipt.route == "cache":
        yield f"cache.said.{word}"
    if receipt.provisional:
        yield f"provisional.said.{word}"
    if bucket is not None and not is_similar(receipt.route, receipt.reasons):  # it was asked something else
        yield f"model.{bucket}.said.{word}"


def _of_device(condition: Condition) -> Iterator[str]:
    if condition.celsius is not None:
        yield f"celsius.{_range(CELSIUS, condition.celsius)}"
    if condition.watts is not None:
        yield f"watts.{_range(WATTS, condition.watts)}"


def _range(bounds: Sequence[int], value: float) -> str:
    return (*map(str, bounds), "more")[bisect_left(bounds, value)]


def _known(name: str, names: Sequence[str]) -> str:
    return name if name in names else OTHER
