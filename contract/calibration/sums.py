"""What a device reports of its answers that were called good or bad: a vector of whole numbers, of bounded length, that adds up.

entry   of the sum
0       by how many more answers were good than the map in force says
1       the same, each answer times the place of its figure
2       how many answers there were
3 …     how many of them fell into each range

Only answers of one model count, and all devices of a sum hold theirs against the same map: the schema's digest names both.
"""

import hashlib
from collections.abc import Iterable, Iterator
from math import isqrt

from contract.calibration.maps import Map, Score
from contract.leaves import canonical
from contract.privacy_noise import clipped
from contract.receipts import Receipt

SCHEMA_VERSION = 1
MOST_ANSWERS = 128
"""Of one device in one window: a site with much traffic counts as much as others."""
SCALE_BITS = 8
UNIT = 1 << SCALE_BITS
"""One answer, in the first two entries."""
SURPRISE_NORM = 7 * UNIT
"""Of the first two entries. Of 128 answers that are judged as the map says, few come to more: the first has a deviation of 5.7 at most.

A smaller one leaves less to a site whose data are wrong, and clips more of the others': `benchmarks/calibration.py` prints both.
"""
ANSWER_UNITS = SURPRISE_NORM // MOST_ANSWERS
"""One answer, in the third entry: so that this is no longer than the first two, and a vector bears no more noise than it needs."""
RANGE_UNITS = ANSWER_UNITS // 3
"""One answer, in its range: of the ranges only the proportions count, and roughly."""
NORM = isqrt(SURPRISE_NORM**2 + (MOST_ANSWERS * ANSWER_UNITS) ** 2 + (MOST_ANSWERS * RANGE_UNITS) ** 2 - 1) + 1
"""Of the whole vector, for the noise."""


def entries(score: Score) -> int:
    """Returns how many entries a vector has."""
    return 3 + score.ranges


def names(score: Score) -> tuple[str, ...]:
    """Returns what the entries are of, in order."""
    return ("surprise", "surprise_by_place", "answers", *(f"range.{number}" for number in range(score.ranges)))


def schema_digest(score: Score, model: str, in_force: Map) -> bytes:
    """Returns the hash of what the entries mean.

    Args:
        score: the figure.
        model: digest of the model whose figures are counted.
        in_force: what answers are held against: the model's map in the signed file, or the one that changes nothing.
    """
    meaning = {
        "calibration_version": SCHEMA_VERSION,
        "of": score.name,
        "ranges": [score.least, score.step, score.ranges],
        "units": [UNIT, ANSWER_UNITS, RANGE_UNITS, SURPRISE_NORM, MOST_ANSWERS],
        "model": model,
        "map": [in_force.slope, in_force.offset],
    }
    return hashlib.sha256(canonical(meaning).encode()).digest()


def judged_of(model: str, answers: Iterable[tuple[Receipt, bool | None]]) -> Iterator[tuple[float, bool]]:
    """Yields the confidence of each text of a model that somebody called good or bad, given for the first time or again.

    Args:
        model: digest of the model on the device; what a provider has answered says nothing of it.
        answers: receipts that policy lets be learnt from, and what was said of each; None: nothing.
    """
    for receipt, is_good in answers:
        if is_good is not None and receipt.model_digest == model and receipt.confidence is not None:
            yield receipt.confidence, is_good


def tally(score: Score, in_force: Map, judged: Iterable[tuple[float, bool]]) -> list[int]:
    """Returns the vector of a window.

    Args:
        score: the figure.
        in_force: see `schema_digest`.
        judged: a figure, and whether the answer was called good; the first 128 count, without those of which nothing is known (0).
    """
    known = ((figure, is_good) for figure, is_good in judged if figure > 0)
    surprise, surprise_by_place, counts = 0.0, 0.0, [0] * score.ranges
    for _, (figure, is_good) in zip(range(MOST_ANSWERS), known, strict=False):
        more = is_good - in_force.probability(figure)
        surprise += more
        surprise_by_place += more * score.place(figure)
        counts[score.range_of(figure)] += 1
    surprises = clipped([round(surprise * UNIT), round(surprise_by_place * UNIT)], SURPRISE_NORM)
    return [*surprises, sum(counts) * ANSWER_UNITS, *(count * RANGE_UNITS for count in counts)]
