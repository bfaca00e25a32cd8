"""Which way a prompt lies, roughly: a sketch of its embedding, of which a fleet sums how many fall where, to see whether prompts drift.

An embedding is projected on a few directions that are the same everywhere, and of each projection only on which side of the middle it lies
is kept. Whole numbers from the first step on make that the same on every machine that has the same embedding to five digits, but for ties.

Sources: Achlioptas, "Database-friendly random projections" (2003), theorem 1.1, for directions of signs; FIPS 202 for the stream they are
read from.
"""

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from hashlib import shake_256
from operator import mul

VERSION = 1
"""Of what a sketch means: of the embedder too. Sketches of another version are counted by nobody."""
EMBEDDER = "cef832d140f8fed1bcc06657d84e91ae001485bcb106c5396e4fa240747a45fe"
"""SHA-256 of the network whose embeddings are sketched."""
DIRECTIONS = 4
BUCKETS = 2
"""Finer buckets have as much noise each and less to show, and more directions add to the noise of all that is counted: `python -m
benchmarks.drift` prints what other numbers would let a fleet see."""
SEED = "seawall drift 1"

UNIT = 2**16
"""What 1 is in whole numbers."""
BOUNDS = (0,)
"""Between the buckets, in units: the quantiles of a normal distribution. The sum of a unit vector's entries, each with a random sign, has
a variance of 1."""

Sketch = tuple[int, ...]
"""A bucket for each direction."""


def sketch(embedding: Sequence[float]) -> Sketch:
    """Returns the sketch of an embedding of unit length."""
    units = [round(value * UNIT) for value in embedding]
    return tuple(bisect_left(BOUNDS, sum(map(mul, signs, units))) for signs in directions(len(units)))


def to_bytes(sketched: Sketch) -> bytes:
    """Returns a sketch as it is kept."""
    return bytes((VERSION, *sketched))


def from_bytes(content: bytes) -> Sketch | None:
    """Returns what `to_bytes` has written; None: it is of another version."""
    version, *buckets = content
    is_known = version == VERSION and len(buckets) == DIRECTIONS and max(buckets) < BUCKETS
    return tuple(buckets) if is_known else None


def meaning() -> dict[str, object]:
    """Returns what makes a sketch what it is."""
    return {"bounds": BOUNDS, "embedder": EMBEDDER, "seed": SEED, "unit": UNIT, "version": VERSION}


@cache
def directions(dimensions: int, count: int = DIRECTIONS) -> tuple[tuple[int, ...], ...]:
    """Returns the first directions: a sign for each of so many dimensions."""
    return tuple(_signs(f"{SEED} {direction}", dimensions) for direction in range(count))


def _signs(name: str, dimensions: int) -> tuple[int, ...]:
    """Returns signs: a bit each, the lowest of a byte first."""
    stream = int.from_bytes(shake_256(name.encode()).digest(-(-dimensions // 8)), "little")
    return tuple(1 if stream >> place & 1 else -1 for place in range(dimensions))
