"""Prompts by topic: embeddings that lie about a point of their own, as an embedder makes them of texts."""

from math import sqrt
from random import Random

from contract.drift import Sketch, sketch

DIMENSIONS = 384
CLOSENESS = 0.35
"""How long the mean of a topic's embeddings is. Real ones are longer, but have a part in common: so far apart are those, too."""


def sketches(topic: int, count: int, random: Random) -> list[Sketch]:
    """Returns sketches of so many prompts of a topic."""
    mean = _unit(Random(f"topic {topic}"))
    return [sketch(_about(mean, random)) for _ in range(count)]


def _about(mean: list[float], random: Random) -> list[float]:
    rest = sqrt(1 - CLOSENESS**2)
    return [CLOSENESS * value + rest * other for value, other in zip(mean, _unit(random), strict=True)]


def _unit(random: Random) -> list[float]:
    values = [random.gauss(0, 1) for _ in range(DIMENSIONS)]
    length = sqrt(sum(value * value for value in values))
    return [value / length for value in values]
