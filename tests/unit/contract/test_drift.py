"""Where a prompt lies."""

from math import sqrt
from random import Random
from statistics import NormalDist, fmean

import pytest

from contract.drift import BOUNDS, BUCKETS, DIRECTIONS, UNIT, VERSION, from_bytes, sketch, to_bytes

DIMENSIONS = 384


def embedding(seed: int, dimensions: int = DIMENSIONS) -> list[float]:
    random = Random(seed)
    values = [random.gauss(0, 1) for _ in range(dimensions)]
    length = sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def test_sketches_are_pinned() -> None:
    found = ["".join(map(str, sketch(embedding(seed)))) for seed in range(8)]
    assert found == ["0011", "0010", "0000", "1111", "0010", "0011", "1000", "1100"]
    assert sketch(embedding(0, 256)) == (0, 0, 1, 1)


def test_bounds_are_quantiles_of_a_normal_distribution() -> None:
    assert [round(NormalDist().inv_cdf(part / BUCKETS) * UNIT) for part in range(1, BUCKETS)] == list(BOUNDS)


def test_of_embeddings_that_lie_anywhere_each_bucket_of_each_direction_has_as_many() -> None:
    found = [sketch(embedding(seed)) for seed in range(2000)]
    for direction in range(DIRECTIONS):
        for bucket in range(BUCKETS):
            assert 0.45 < fmean(one[direction] == bucket for one in found) * BUCKETS / 2 < 0.55


def test_directions_have_nothing_to_do_with_each_other() -> None:
    found = [sketch(embedding(seed)) for seed in range(2000)]
    for first in range(DIRECTIONS):
        for second in range(first):
            assert 0.45 < fmean(one[first] == one[second] for one in found) * BUCKETS / 2 < 0.55


def test_what_another_machine_reckons_a_little_otherwise_has_the_same_sketch_but_for_ties() -> None:
    random, other = Random(1), 0
    for seed in range(300):
        exact = embedding(seed)
        near = [value + random.uniform(-1e-6, 1e-6) for value in exact]
        other += sketch(near) != sketch(exact)
    assert other <= 3


def test_the_opposite_of_an_embedding_lies_on_the_other_side_of_every_direction() -> None:
    for seed in range(20):
        values = embedding(seed)
        opposite = sketch([-value for value in values])
        assert [one + other for one, other in zip(sketch(values), opposite, strict=True)] == [BUCKETS - 1] * DIRECTIONS


def test_a_sketch_is_read_as_it_was_written() -> None:
    for seed in range(20):
        found = sketch(embedding(seed))
        assert from_bytes(to_bytes(found)) == found


@pytest.mark.parametrize("content", [bytes((VERSION + 1, 0, 0, 0, 0)), bytes((VERSION, 0, 0, 0)), bytes((VERSION, 0, 0, 0, BUCKETS))])
def test_a_sketch_of_another_version_is_none(content: bytes) -> None:
    assert from_bytes(content) is None
