"""Isotonic regression: of all maps that keep the order, the one nearest to what answers were called. It is what any map is held against.

The pool of adjacent violators: Barlow et al. 1972, "Statistical inference under order restrictions"; Zadrozny, Elkan 2002 for calibration.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from benchmarks.calibration_fleet import Judged


@dataclass(frozen=True)
class Steps:
    """A map of steps.

    Args:
        ends: the greatest figure of each step, ascending.
        probabilities: of each.
    """

    ends: tuple[float, ...]
    probabilities: tuple[float, ...]

    def probability(self, figure: float) -> float:
        """Returns the probability of the step that a figure lies in; beyond the last one, that of the last."""
        return self.probabilities[min(bisect_left(self.ends, figure), len(self.ends) - 1)]


def best_steps(judged: Sequence[Judged]) -> Steps:
    """Returns the map of least squares.

    Args:
        judged: one answer at least.
    """
    pools = list[tuple[float, int, int]]()  # each step's end, its answers, and the good ones among them
    for figure, answers in groupby(sorted(judged), key=itemgetter(0)):
        said = [is_good for _, is_good in answers]
        count, good = len(said), sum(said)
        while pools and pools[-1][2] * count >= good * pools[-1][1]:
            _, more, more_good = pools.pop()
            count, good = count + more, good + more_good
        pools.append((figure, count, good))
    return Steps(tuple(end for end, *_ in pools), tuple(good / count for _, count, good in pools))
