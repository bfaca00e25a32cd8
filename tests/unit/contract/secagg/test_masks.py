"""Masks, and sums modulo 2^64, held against sums that are made number by number."""

from random import Random

import pytest

from contract.secagg.masks import VectorSum, from_vector, mask, signed, to_vector

RANDOM = Random(3)
EDGES = (0, 1, 2**63 - 1, 2**63, 2**64 - 1)


@pytest.mark.parametrize("entries", [1, 2, 3, 8, 33])
def test_a_sum_of_vectors_is_that_of_their_entries_modulo_two_to_the_64(entries: int) -> None:
    total, expected = VectorSum(entries), [0] * entries
    for number in range(200):
        values = [RANDOM.choice((*EDGES, RANDOM.getrandbits(64))) for _ in range(entries)]
        sign = 1 if number % 3 else -1
        (total.add if sign > 0 else total.subtract)(to_vector(values))
        expected = [(before + sign * value) % 2**64 for before, value in zip(expected, values, strict=True)]
    assert list(from_vector(total.total())) == expected


@pytest.mark.parametrize("value", EDGES)
def test_carries_stay_within_their_entry(value: int) -> None:
    for place in range(4):
        total = VectorSum(4)
        for _ in range(100):
            total.add(to_vector([value if entry == place else 0 for entry in range(4)]))
            total.subtract(to_vector([0, 0, 0, 0]))
        assert from_vector(total.total()) == tuple(100 * value % 2**64 if entry == place else 0 for entry in range(4))


def test_a_vector_taken_away_leaves_nothing() -> None:
    total, vector = VectorSum(5), to_vector(EDGES)
    total.add(vector)
    total.subtract(vector)
    assert total.total() == bytes(40)


def test_negative_numbers_come_back_as_what_they_were() -> None:
    values = (-1, 1, -(2**63), 2**63 - 1, 0)
    assert signed(from_vector(to_vector(values))) == values


def test_a_mask_is_its_keys_alone_and_begins_the_same_whatever_its_length() -> None:
    assert mask(bytes(32), 100)[:16] == mask(bytes(32), 16)
    assert mask(bytes(32), 64) != mask(bytes(31) + b"\1", 64)


@pytest.mark.parametrize("size_bytes", [0, 3, 16, 24])
def test_a_key_of_fewer_than_256_bits_makes_no_mask(size_bytes: int) -> None:
    with pytest.raises(ValueError, match="key"):
        mask(bytes(size_bytes), 8)
