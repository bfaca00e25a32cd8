"""How far prompts have drifted: where those of one week lie, held against those of another, by sums that bear noise or none.

In each direction of `contract/drift.py`, an index adds up the squared differences of the buckets' shares, times the number of buckets. Of
buckets that hold about as many, as these do, that is the population stability index but for terms of the fourth order, and, unlike its
logarithms, it can be taken of counts that noise has brought below nothing. What noise and chance add to it on average is taken off.

Sources: Siddiqi, "Credit Risk Scorecards" (2006), for the index; Yurdakul and Naranjo, "Statistical properties of the population stability
index" (2020): by chance alone it is a multiple of a chi-squared variable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum, sqrt

from contract.drift import BUCKETS, DIRECTIONS

FEWEST_DEVIATIONS = 6
"""Prompts of a week that are no more than so many standard deviations of a cell's noise say nothing."""
FEWEST_PROMPTS = 5 * BUCKETS
"""Nor do fewer: a chi-squared variable wants five in each cell (Cochran)."""

_FREEDOM = BUCKETS - 1


@dataclass(frozen=True, slots=True)
class Shift:
    """How far prompts have moved.

    Args:
        index: the population stability index, less what noise and chance come to on average: so it may be below 0.
        standard_deviation: of what noise and chance do to it, where nothing has moved.
    """

    index: float
    standard_deviation: float


@dataclass(frozen=True, slots=True)
class Drift:
    """How far prompts have moved in each direction, and in all.

    Args:
        directions: in the order of their cells.
        together: their mean, which noise moves less than any of them.
    """

    directions: tuple[Shift, ...]
    together: Shift


@dataclass(frozen=True, slots=True)
class Week:
    """What is known of a week's prompts.

    Args:
        sums: by cell of the schema.
        standard_deviation: of the noise in each.
    """

    sums: Mapping[str, int]
    standard_deviation: float

    @property
    def prompts(self) -> float:
        """How many were sketched: each is in one bucket of each direction."""
        return sum(sum(self.buckets(direction)) for direction in range(DIRECTIONS)) / DIRECTIONS

    @property
    def says_something(self) -> bool:
        """Whether there are enough of them."""
        return self.prompts >= max(FEWEST_PROMPTS, FEWEST_DEVIATIONS * self.standard_deviation)

    def buckets(self, direction: int) -> list[int]:
        """Returns the counts of a direction's buckets."""
        return [self.sums[f"drift.{direction}.{bucket}"] for bucket in range(BUCKETS)]


def drift(now: Week, before: Week) -> Drift | None:
    """Returns how far prompts have moved between two weeks; None: in one of them too few were seen to say."""
    if not (now.says_something and before.says_something):
        return None
    directions = tuple(_shift(now, before, direction) for direction in range(DIRECTIONS))
    index = fsum(shift.index for shift in directions) / DIRECTIONS
    return Drift(directions, Shift(index, sqrt(fsum(shift.standard_deviation**2 for shift in directions)) / DIRECTIONS))


def _shift(now: Week, before: Week, direction: int) -> Shift:
    by_chance = _by_chance(now) + _by_chance(before)
    differences = [one - other for one, other in zip(_shares(now, direction), _shares(before, direction), strict=True)]
    index = BUCKETS * fsum(difference**2 for difference in differences)
    return Shift(index - _FREEDOM * by_chance, sqrt(2 * _FREEDOM) * by_chance)


def _shares(week: Week, direction: int) -> list[float]:
    """Returns by how much each bucket's share is above their mean: noise that is in all of a direction's buckets moves nothing."""
    buckets = week.buckets(direction)
    mean = fsum(buckets) / BUCKETS
    return [(count - mean) / week.prompts for count in buckets]


def _by_chance(week: Week) -> float:
    """Returns what a chi-squared variable is multiplied with: the variances of a bucket's noise and of its sampling, in shares."""
    return BUCKETS * (week.standard_deviation / week.prompts) ** 2 + 1 / week.prompts
