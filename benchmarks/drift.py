"""Which drift of prompts a fleet can see: how far topics lie apart in the embedder's eyes, beside what noise and chance do to the index.

Topics are those of drift_texts.txt, written for this. A change is seen where the index exceeds two standard deviations of noise and chance,
as the report has them, in nine weeks of ten. Where prompts have moved, noise and chance vary the index by more than that: it is a multiple
of a noncentral chi-squared variable. Each device gives as many answers as are counted at most; cohorts are of 64, and all of them stay to
the end.

A line for each number of directions and of buckets: what they do to the noise of any count, and at how many devices a whole change of topic
is seen. Then a line for each size of a fleet, as it is shipped. The last line is JSON:

- whole_change_index: of the shipped sketch, where all prompts change from one topic to another; the mean over pairs of topics;
- topic_length: of the mean of a topic's embeddings, the median;
- count_deviation: of the noise in one count of a cohort of 64;
- devices_for_a_whole_change: with noise;
- seen_share_N: which share of the prompts of N devices must change topic to be seen; null: not even all of them;
- exact_seen_share_20: of 20 devices with 200 answers each, without noise.

Source: Johnson, "On an extension of the connexion between Poisson and chi-squared distributions" (1959): of an even number of degrees of
freedom, a noncentral chi-squared variable exceeds a bound where one Poisson variable is below another and half the degrees.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, combinations
from math import exp, fsum, isqrt, lgamma, log, sqrt
from operator import mul
from pathlib import Path
from statistics import NormalDist, fmean, median

import numpy as np

from agent.embedding.embedder import DIMENSIONS, Embedder, Vector
from contract.drift import BUCKETS, DIRECTIONS, directions
from contract.learning import NOISE_MULTIPLIER, terms
from contract.secagg.messages import Plan
from contract.secagg.rules import MOST_AGENTS, fewest_honest, least_threshold
from contract.subjects import MOST_ANSWERS, USAGE
from contract.usage import MOST_CELLS_OF_ANSWER
from hub.learning.drift import FEWEST_DEVIATIONS

TEXTS = Path(__file__).parent / "drift_texts.txt"
MANY = 400
"""Directions over which an index is averaged, so that it is of no few."""
SIZES = (64, 1000, 10_000, 100_000)
DEVIATIONS = 2
"""What is below so many is called noise."""
SEEN = 0.9
"""Of weeks."""
MOST_MOVED = 100.0
"""A noncentrality that is seen nearly always, of all that is printed here."""
TERMS = 400
"""Of a Poisson distribution whose mean is below 100: the others come to nothing."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How prompts are sketched."""

    directions: int
    buckets: int

    @property
    def count_deviation(self) -> float:
        """Of the noise in one count of a cohort of 64: the fewest honest bear four norms, and here all do their part."""
        cells = MOST_CELLS_OF_ANSWER - DIRECTIONS + self.directions
        return NOISE_MULTIPLIER * (isqrt(cells * MOST_ANSWERS**2 + 1) + 1) * sqrt(MOST_AGENTS / fewest_honest(_plan()))

    @property
    def freedom(self) -> int:
        """In which all directions' buckets can move."""
        return self.directions * (self.buckets - 1)

    def index_deviation(self, devices: float, answers: int = MOST_ANSWERS, has_noise: bool = True) -> float:
        """Of the index of all directions together, between two weeks in which nothing changes."""
        return sqrt(2 * self.freedom) * self._unit(devices, answers, has_noise)

    def least_index(self, devices: float, answers: int = MOST_ANSWERS, has_noise: bool = True) -> float:
        """Returns how large an index has to be to be seen."""
        return noncentrality(self.freedom) * self._unit(devices, answers, has_noise)

    def _unit(self, devices: float, answers: int, has_noise: bool) -> float:
        """Returns what a chi-squared variable is multiplied with."""
        prompts = devices * answers
        variance = self.count_deviation**2 * devices / MOST_AGENTS if has_noise else 0.0
        return 2 * (self.buckets * variance / prompts**2 + 1 / prompts) / self.directions

    def devices(self, whole: float) -> int:
        """Returns at how many a whole change of topic is seen."""
        least = (FEWEST_DEVIATIONS * self.count_deviation / MOST_ANSWERS) ** 2 / MOST_AGENTS
        found = max(1.0, least)
        while self.least_index(found) > whole:
            found *= 1.01
        return round(found)


@cache
def noncentrality(freedom: int) -> float:
    """Returns at which one a noncentral chi-squared variable is seen."""
    low, high = 0.0, MOST_MOVED
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if chance_of_seeing(freedom, middle) >= SEEN else (middle, high)
    return high


def chance_of_seeing(freedom: int, moved: float) -> float:
    """Returns how often a noncentral chi-squared variable is more than its deviations above the mean of one that has not moved.

    Args:
        freedom: its degrees, an even number.
        moved: its noncentrality, above 0.
    """
    bound = freedom + DEVIATIONS * sqrt(2 * freedom)
    at_most = [*accumulate(_poisson(bound / 2))]
    return fsum(map(mul, _poisson(moved / 2), at_most[freedom // 2 - 1 :]))


def _poisson(mean: float) -> list[float]:
    """Returns the chance of each number below `TERMS`."""
    return [exp(number * log(mean) - mean - lgamma(number + 1)) for number in range(TERMS)]


def topics() -> dict[str, Vector]:
    """Returns the embeddings of each topic, one a row."""
    embedder, texts = Embedder(), dict[str, list[str]]()
    for line in TEXTS.read_text().splitlines():
        if line.startswith("["):
            name = line.strip("[]")
            continue
        texts.setdefault(name, []).append(line)
    return {name: np.array([embedder.embed(text) for text in lines]) for name, lines in texts.items()}


def whole_change(found: dict[str, Vector], buckets: int) -> float:
    """Returns the index where all prompts change from one topic to another, less what few texts come to by chance."""
    return fmean(index for one, other in combinations(found.values(), 2) for index in _indices(one, other, buckets))


def _indices(one: Vector, other: Vector, buckets: int) -> Iterator[float]:
    by_chance = (buckets - 1) * (1 / len(one) + 1 / len(other))
    for difference in _shares(one, buckets) - _shares(other, buckets):
        yield buckets * float(difference @ difference) - by_chance


def _shares(embeddings: Vector, buckets: int) -> Vector:
    bounds = [NormalDist().inv_cdf(part / buckets) for part in range(1, buckets)]
    places = np.searchsorted(bounds, embeddings @ np.array(directions(DIMENSIONS, MANY)).T)
    return np.array([[np.mean(column == bucket) for bucket in range(buckets)] for column in places.T])


def _plan() -> Plan:
    asked = terms(USAGE, "2026-W47", is_exact=False)
    names = tuple(f"agent-{number:02}" for number in range(MOST_AGENTS))
    threshold = least_threshold(MOST_AGENTS)
    return Plan(bytes(32), asked.window, asked.schema, asked.entries, asked.scale_bits, threshold, 1, bytes(32), names)


def _seen_share(whole: float, least_index: float) -> float | None:
    """Returns which share of the prompts must change: the index grows with its square."""
    share = sqrt(least_index / whole)
    return round(share, 3) if share <= 1 else None


def main() -> None:
    """Prints all."""
    found, shipped = topics(), Shape(DIRECTIONS, BUCKETS)
    for buckets in (2, 3, 4, 8):
        whole = whole_change(found, buckets)
        for count in (2, 4, 8):
            shape = Shape(count, buckets)
            line = {"directions": count, "buckets": buckets, "whole_change_index": round(whole, 3)}
            print(json.dumps({**line, "count_deviation": round(shape.count_deviation), "devices": shape.devices(whole)}), flush=True)
    whole = whole_change(found, BUCKETS)
    shares = {size: _seen_share(whole, shipped.least_index(size)) if size >= shipped.devices(whole) else None for size in SIZES}
    print(
        json.dumps(
            {
                "whole_change_index": round(whole, 3),
                "topic_length": round(median(float(np.linalg.norm(rows.mean(axis=0))) for rows in found.values()), 2),
                "count_deviation": round(shipped.count_deviation),
                "devices_for_a_whole_change": shipped.devices(whole),
                **{f"seen_share_{size}": share for size, share in shares.items()},
                "exact_seen_share_20": _seen_share(whole, shipped.least_index(20, 200, has_noise=False)),
            }
        )
    )


if __name__ == "__main__":
    main()
