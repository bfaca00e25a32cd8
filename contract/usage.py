"""What a device may report of its use: counts, one for each cell of a schema that is written here and nowhere else.

A receipt's words (reasons, kinds, models, names) are never looked at; what is counted are values of closed sets and ranges of numbers. So a
report holds nothing of a prompt by its form, before any noise. What each entry of a vector means is pinned by the schema's digest, which a
round's plan names: a device adds nothing to a sum of something else.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from math import isqrt
from typing import get_args

from contract.classification import DataClass
from contract.leaves import canonical
from contract.receipts import Receipt, Route

SCHEMA_VERSION = 1

ROUTES = get_args(Route)
CLASSES = tuple(str(data_class) for data_class in DataClass)
TIERS = ("private", "public")
OTHER = "other"
"""What this version does not know the name of."""
MILLISECONDS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000)
"""Upper bounds, each with it; one range is above them all."""
CONFIDENCE_TENTHS = 10
MOST_CELLS_OF_ANSWER = 6
"""One answer adds one to so many cells at most: route, class, provisional, tier, confidence, time."""

CELLS = (
    *(f"route.{name}" for name in (*ROUTES, OTHER)),
    *(f"class.{name}" for name in (*CLASSES, OTHER)),
    "provisional",
    *(f"left.{name}" for name in (*TIERS, OTHER)),
    *(f"confidence.{tenth}" for tenth in range(CONFIDENCE_TENTHS)),
    *(f"milliseconds.{bound}" for bound in (*MILLISECONDS, "more")),
)
"""What the entries mean, in order."""

_PLACE = {cell: number for number, cell in enumerate(CELLS)}


def schema_digest() -> bytes:
    """Returns the hash of what each entry means."""
    return hashlib.sha256(canonical({"cells": CELLS, "schema_version": SCHEMA_VERSION}).encode()).digest()


def tally(receipts: Iterable[Receipt], most_answers: int) -> list[int]:
    """Returns the vector of a window.

    Args:
        receipts: of the window.
        most_answers: how many are counted at most, so that what one device can change of a sum is known.
    """
    counts = [0] * len(CELLS)
    for _, receipt in zip(range(most_answers), receipts, strict=False):
        for cell in _cells(receipt):
            counts[_PLACE[cell]] += 1
    return counts


def norm(most_answers: int) -> int:
    """Returns the greatest Euclidean norm of a tally, rounded up: the one where all answers fall into the same cells."""
    return isqrt(MOST_CELLS_OF_ANSWER * most_answers**2 - 1) + 1


def named(sums: Sequence[int]) -> dict[str, int]:
    """Returns sums by what they are of."""
    return dict(zip(CELLS, sums, strict=True))


def _cells(receipt: Receipt) -> Iterator[str]:
    yield f"route.{_known(receipt.route, ROUTES)}"
    yield f"class.{_known(receipt.data_class, CLASSES)}"
    if receipt.provisional:
        yield "provisional"
    if receipt.departure is not None:
        yield f"left.{_known(receipt.departure.tier, TIERS)}"
    if receipt.confidence is not None:
        yield f"confidence.{min(max(int(receipt.confidence * CONFIDENCE_TENTHS), 0), CONFIDENCE_TENTHS - 1)}"
    yield f"milliseconds.{(*MILLISECONDS, 'more')[bisect_left(MILLISECONDS, receipt.milliseconds)]}"


def _known(name: str, names: Sequence[str]) -> str:
    return name if name in names else OTHER
