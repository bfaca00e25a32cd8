"""Which cohorts' sums may be added up. A device whose code was changed can report anything; its cohort's sum then has to go.

Within a cohort: no sum is beyond what so many honest devices come to at most, and its parts fit each other. Between cohorts: each one's
mean surprise is held against the median of all (Yin et al. 2018, "Byzantine-robust distributed learning", the median of means), and is too
far off beyond four of the deviations that chance and noise explain, or of the cohorts' own spread where that is more (Hampel 1974, "The
influence curve", for the median absolute deviation). Two that disagree both go, for nobody knows which is right.

What gets through is bounded, not excluded: a sum shows no single vector. A device can say as much as its cohort may together, at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, hypot, sqrt
from statistics import median

from contract.calibration.maps import Score
from contract.calibration.sums import ANSWER_UNITS, MOST_ANSWERS, RANGE_UNITS, SURPRISE_NORM, UNIT, entries
from contract.secagg.masks import signed

NOISE_DEVIATIONS = 8
"""Noise is beyond so many of its deviations with a chance of 2^-50."""
MOST_DEVIATIONS = 4
THIN_DEVIATIONS = 2
_MAD_TO_DEVIATION = 1.4826
"""For normal figures (Hampel 1974)."""


@dataclass(frozen=True, slots=True)
class CohortSum:
    """What one secure sum came to.

    Args:
        devices: whose vectors are in it.
        values: the sums, modulo 2^64 or signed.
        variance: of the noise in each entry, of all devices' parts.
    """

    devices: int
    values: tuple[int, ...]
    variance: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", signed(self.values))

    @property
    def noise(self) -> float:
        """More than the noise of an entry ever is."""
        return NOISE_DEVIATIONS * sqrt(self.variance)

    @property
    def surprise(self) -> tuple[float, float]:
        """By how many more answers were good than the map in force says: all, and by place."""
        return self.values[0] / UNIT, self.values[1] / UNIT

    @property
    def answers(self) -> float:
        """How many there were; where there is noise, perhaps fewer than none."""
        return self.values[2] / ANSWER_UNITS

    @property
    def counts(self) -> tuple[float, ...]:
        """How many answers there were in each range, about."""
        found = [max(0, value) for value in self.values[3:]]
        answers, whole = max(0.0, self.answers), sum(found)
        return tuple(answers * value / whole if whole else answers / len(found) for value in found)

    @property
    def is_thin(self) -> bool:
        """Whether there may be no answers in it, for all its noise lets one see."""
        return self.answers <= max(1.0, THIN_DEVIATIONS * sqrt(self.variance) / ANSWER_UNITS)


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of the cohorts.

    Args:
        total: of those that were added up; None: of none.
        discarded: why, by the place of each that was not.
    """

    total: CohortSum | None
    discarded: dict[int, str]


def merge(score: Score, cohorts: Sequence[CohortSum]) -> Merged:
    """Adds up the cohorts that may be trusted.

    Args:
        score: the figure.
        cohorts: of one schema.
    """
    discarded = {place: why for place, cohort in enumerate(cohorts) if (why := flaw(score, cohort))}
    left = {place: cohort for place, cohort in enumerate(cohorts) if place not in discarded}
    discarded |= _far_off(score, left)
    kept = [cohort for place, cohort in left.items() if place not in discarded]
    return Merged(_added(kept) if kept else None, discarded)


def flaw(score: Score, cohort: CohortSum) -> str:
    """Returns why no cohort of honest devices comes to this sum; empty: one may."""
    if cohort.devices < 1 or len(cohort.values) != entries(score):
        return f"it has {len(cohort.values)} entries of {cohort.devices} devices, {entries(score)} entries are wanted"
    noise, (answers, *ranges) = cohort.noise, cohort.values[2:]
    if hypot(*cohort.values[:2]) > cohort.devices * SURPRISE_NORM + noise * sqrt(2):
        return "its surprise is longer than all of its devices' together can be"
    if min(cohort.values[2:]) < -noise:
        return "a count is below nothing"
    if answers > cohort.devices * MOST_ANSWERS * ANSWER_UNITS + noise:
        return "it has more answers than its devices may count"
    if abs(sum(ranges) / RANGE_UNITS - answers / ANSWER_UNITS) > noise * (sqrt(len(ranges)) / RANGE_UNITS + 1 / ANSWER_UNITS):
        return "its ranges hold another number of answers than there are"
    return _contradiction(score, cohort)


def _contradiction(score: Score, cohort: CohortSum) -> str:
    """An answer surprises by less than one."""
    for part, weights in zip(cohort.values[:2], _weights(score), strict=True):
        most = fsum(max(0, value) * weight for value, weight in zip(cohort.values[3:], weights, strict=True)) * UNIT / RANGE_UNITS
        rounding = cohort.devices
        if abs(part) > most + cohort.noise * (1 + hypot(*weights) * UNIT / RANGE_UNITS) + rounding:
            return "it has more surprise than answers"
    return ""


def _weights(score: Score) -> tuple[list[float], list[float]]:
    """Returns by how much one answer of a range changes the first two entries at most."""
    places = [score.place_of(number) for number in range(score.ranges)]
    return [1.0] * score.ranges, [abs(place) + score.step / 2 for place in places]


def _far_off(score: Score, cohorts: dict[int, CohortSum]) -> dict[int, str]:
    """Returns those whose mean surprise is too far from the median of all."""
    thin = {place: "it has no more answers than its noise may be" for place, cohort in cohorts.items() if cohort.is_thin}
    rest = {place: cohort for place, cohort in cohorts.items() if place not in thin}
    far = dict[int, str]()
    for part, weights in enumerate(_weights(score)):
        means = {place: cohort.surprise[part] / cohort.answers for place, cohort in rest.items()}
        middle = median(means.values()) if means else 0.0
        spread = _MAD_TO_DEVIATION * median(abs(mean - middle) for mean in means.values()) if len(means) > 2 else 0.0
        for place, cohort in rest.items():
            by_chance = _deviation(cohort, weights) * sqrt(1 - 1 / len(rest))  # the median moves with each
            if abs(means[place] - middle) > MOST_DEVIATIONS * max(by_chance, spread):
                far[place] = "its surprise is far from the other cohorts'"
    return thin | far


def _deviation(cohort: CohortSum, weights: Sequence[float]) -> float:
    """Returns the standard deviation of the mean surprise at most: a label's variance is 1/4, and there is the noise."""
    squares = fsum(count * weight * weight for count, weight in zip(cohort.counts, weights, strict=True))
    return sqrt(squares / 4 + cohort.variance / UNIT**2) / cohort.answers


def _added(cohorts: Sequence[CohortSum]) -> CohortSum:
    values = tuple(sum(column) for column in zip(*(cohort.values for cohort in cohorts), strict=True))
    return CohortSum(sum(cohort.devices for cohort in cohorts), values, fsum(cohort.variance for cohort in cohorts))
