"""A made-up fleet whose truth is known: sites ask different things, in different numbers, and people judge the answers.

Each site's figures have log-odds of a normal distribution of its own; how often answers are good depends on the figure alone, by a curve
that no map of slope and offset can follow to the end: even sure answers are sometimes called bad, and unsure ones good.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, fsum
from operator import itemgetter
from random import Random
from typing import Protocol

from contract.calibration.maps import Map, Score, log_odds, logistic

Judged = tuple[float, bool]
"""A figure, and whether the answer was called good."""
Spoil = Callable[[list[Judged], Random], list[Judged]]
"""Makes something else of a site's answers."""

GARBAGE: dict[str, Spoil] = {
    "inverted": lambda judged, _: [(figure, not is_good) for figure, is_good in judged] * 9,
    "random": lambda judged, random: [(figure, random.random() < 0.5) for figure, _ in judged] * 9,
    "all bad": lambda judged, _: [(figure, False) for figure, _ in judged] * 9,
    "sure and bad": lambda _, __: [(0.999, False)] * 10_000,
    "unsure and good": lambda _, __: [(0.01, True)] * 10_000,
    "sure and good": lambda _, __: [(0.999, True)] * 10_000,
}
"""What may come of a site's data where its code is honest."""

ECE_BINS = 15
_MIDDLE, _SPREAD_OF_SITES, _SPREAD = 0.6, 0.7, (0.5, 1.0)
_USUAL_ANSWERS, _SPREAD_OF_TRAFFIC, _ANSWERS = 40, 0.8, (8, 400)


def truth(figure: float) -> float:
    """Returns how often an answer of this figure is good."""
    return 0.06 + 0.86 * logistic(0.9 * log_odds(figure) - 0.8)


@dataclass(frozen=True)
class Site:
    """One site: where its figures lie, how far they spread, and how many answers are judged in a window."""

    middle: float
    spread: float
    answers: int

    def window(self, random: Random) -> list[Judged]:
        """Returns a window's judged answers."""
        figures = (logistic(random.gauss(self.middle, self.spread)) for _ in range(self.answers))
        return [(figure, random.random() < truth(figure)) for figure in figures]


class Traffic(Protocol):
    """What a site is, to those that fit a map to its answers."""

    def window(self, random: Random) -> list[Judged]:
        """Returns a window's judged answers."""
        ...


def made_up_fleet(size: int, random: Random) -> list[Site]:
    """Returns sites whose traffic differs by much."""
    return [
        Site(
            random.gauss(_MIDDLE, _SPREAD_OF_SITES),
            random.uniform(*_SPREAD),
            answers_of_a_window(random),
        )
        for _ in range(size)
    ]


def answers_of_a_window(random: Random) -> int:
    """Draws how many answers of a site are judged in a window."""
    return min(max(round(_USUAL_ANSWERS * exp(random.gauss(0, _SPREAD_OF_TRAFFIC))), _ANSWERS[0]), _ANSWERS[1])


def central_map(judged: Sequence[Judged]) -> Map:
    """Returns the map of the greatest likelihood, all answers in one place and figures as they are: Newton's method."""
    slope, offset = 1.0, 0.0
    points = [(log_odds(figure), is_good) for figure, is_good in judged]
    for _ in range(20):
        weighed = [(place, is_good - (p := logistic(slope * place + offset)), p * (1 - p)) for place, is_good in points]
        left, left_by_place = fsum(more for _, more, _ in weighed), fsum(place * more for place, more, _ in weighed)
        a, b = fsum(weight for *_, weight in weighed), fsum(place * weight for place, _, weight in weighed)
        c = fsum(place * place * weight for place, _, weight in weighed)
        determinant = a * c - b * b
        slope, offset = slope + (a * left_by_place - b * left) / determinant, offset + (c * left - b * left_by_place) / determinant
    return Map(slope, offset)


class Says(Protocol):
    """Whatever makes a probability of a figure."""

    def probability(self, figure: float) -> float:
        """Returns it."""
        ...


def ece(map_: Says, judged: Sequence[Judged]) -> float:
    """The expected calibration error: in bins of as many answers each, how far the mean probability is from the share of good ones.

    Naeini et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning"; bins of equal mass, Nixon et al. 2019.
    """
    ordered = sorted(((map_.probability(figure), is_good) for figure, is_good in judged), key=itemgetter(0))
    edges = [len(ordered) * number // ECE_BINS for number in range(ECE_BINS + 1)]
    off = (abs(fsum(p - is_good for p, is_good in ordered[begin:end])) for begin, end in pairwise(edges))
    return fsum(off) / len(ordered)


def brier(map_: Says, judged: Sequence[Judged]) -> float:
    """The mean squared difference between probability and what was said (Brier 1950)."""
    return fsum((map_.probability(figure) - is_good) ** 2 for figure, is_good in judged) / len(judged)


def furthest(score: Score, one: Map, other: Map) -> float:
    """Returns by how much two maps differ at most, within the ranges of a figure."""
    figures = [logistic(score.middle_of(number)) for number in range(score.ranges)]
    return max(abs(one.probability(figure) - other.probability(figure)) for figure in figures)
