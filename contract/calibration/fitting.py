"""The next map, from the sums of a window.

The map is sought under which the answers would have been as good as they were, in all and by place: where the score of the likelihood
is nothing (of a logistic map, it depends on these two sums and the figures alone). Ranges stand for figures only in how far a step goes;
where the next one would go nowhere, the map is the one that all answers in one place would give, but for clipping and noise.

A weight of one answer stays on the map in force (ridge regression), so that there always is one such map. And a step moves no log-odds by
more than one half, so no probability by more than an eighth: what noise, or a device that lies, makes of one window is bounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from contract.calibration.cohorts import CohortSum, merge
from contract.calibration.maps import Map, Score, logistic, rounded
from contract.errors import InvalidRequest, Reason

LEAST_ANSWERS = 200
"""Fewer say little: of so many, the share of good ones is known to a thirtieth."""
MOST_STEP = 0.5
"""Of log-odds, anywhere in the ranges."""

_ITERATIONS = 200
_SMALL = 1e-10
_PENALTY = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """The next map, and what it stands on.

    Args:
        map: to be signed.
        before: the map in force.
        answers: how many were judged, about.
        mean_surprise: by how much the share of good answers differed from what the map in force says.
        is_cut: whether the map would be further from the one in force: the next window goes on from here.
        discarded: of the cohorts, and why.
    """

    map: Map
    before: Map
    answers: int
    mean_surprise: float
    is_cut: bool
    discarded: dict[int, str]


def fit(score: Score, in_force: Map, cohorts: Sequence[CohortSum]) -> Step:
    """Returns the next map.

    Args:
        score: the figure.
        in_force: that all devices held their answers against.
        cohorts: the sums, all of the schema of that figure and map.

    Raises:
        InvalidRequest: CALIBRATION_INVALID, too few cohorts or answers are left.
    """
    merged = merge(score, cohorts)
    if merged.total is None or merged.total.answers < LEAST_ANSWERS:
        reasons = "; ".join(f"cohort {place + 1}: {why}" for place, why in sorted(merged.discarded.items())) or "no cohort was discarded"
        raise InvalidRequest(
            Reason.CALIBRATION_INVALID, f"Fewer than {LEAST_ANSWERS} answers are left to fit a map to ({reasons}): await another window."
        )
    total = merged.total
    level, tilt = _solved(score, in_force, total)
    ends = [abs(level + tilt * score.place_of(number)) for number in (0, score.ranges - 1)]
    share = min(1.0, MOST_STEP / max(*ends, _SMALL))
    level, tilt = share * level, share * tilt
    moved = rounded(in_force.slope + tilt, in_force.offset + level - tilt * score.middle)
    return Step(moved, in_force, round(total.answers), total.surprise[0] / total.answers, share < 1, merged.discarded)


def _solved(score: Score, in_force: Map, total: CohortSum) -> tuple[float, float]:
    """Returns how far log-odds move in the middle, and with each place from there: Newton's method, in short steps."""
    problem = _Problem(score, in_force, total)
    level = tilt = 0.0
    for _ in range(_ITERATIONS):
        step = problem.step(level, tilt)
        length = max(abs(step[0]), abs(step[1]))
        shortened = min(1.0, 1 / length) if length else 1.0
        level, tilt = level + shortened * step[0], tilt + shortened * step[1]
        if length < _SMALL:
            break
    return level, tilt


class _Problem:
    """Where the score of the penalised likelihood is nothing.

    Args:
        score: the figure.
        in_force: the map that is moved.
        total: of the cohorts.
    """

    def __init__(self, score: Score, in_force: Map, total: CohortSum) -> None:
        numbers = range(score.ranges)
        self._places = [score.place_of(number) for number in numbers]
        self._odds = [in_force.slope * score.middle_of(number) + in_force.offset for number in numbers]
        self._counts = total.counts
        self._surprise = total.surprise

    def step(self, level: float, tilt: float) -> tuple[float, float]:
        """Returns Newton's step."""
        before, after = self._probabilities(0.0, 0.0), self._probabilities(level, tilt)
        moved = [count * (new - old) for count, new, old in zip(self._counts, after, before, strict=True)]
        by_place = fsum(part * place for part, place in zip(moved, self._places, strict=True))
        left = self._surprise[0] - fsum(moved) - _PENALTY * level
        left_by_place = self._surprise[1] - by_place - _PENALTY * tilt
        a, b, c = self._information(level, tilt)
        determinant = a * c - b * b
        return (c * left - b * left_by_place) / determinant, (a * left_by_place - b * left) / determinant

    def _probabilities(self, level: float, tilt: float) -> list[float]:
        return [logistic(odds + level + tilt * place) for odds, place in zip(self._odds, self._places, strict=True)]

    def _information(self, level: float, tilt: float) -> tuple[float, float, float]:
        """Returns Fisher's information, and the penalty's, as a symmetric matrix of two rows."""
        weights = [count * p * (1 - p) for count, p in zip(self._counts, self._probabilities(level, tilt), strict=True)]
        by_place = [weight * place for weight, place in zip(weights, self._places, strict=True)]
        squares = [weight * place for weight, place in zip(by_place, self._places, strict=True)]
        return _PENALTY + fsum(weights), fsum(by_place), _PENALTY + fsum(squares)
