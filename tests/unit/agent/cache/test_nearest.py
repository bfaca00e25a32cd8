"""The nearest vectors of a scope, and of no other."""

import numpy as np
import pytest

from agent.cache.nearest import Nearest
from agent.embedding.embedder import DIMENSIONS, Vector


def vector(*numbers: float) -> Vector:
    made = np.zeros(DIMENSIONS, np.float32)
    made[: len(numbers)] = numbers
    return np.asarray(made / np.linalg.norm(made), np.float32)


EAST, NEAR_EAST, NORTH = vector(1), vector(1, 0.1), vector(0, 1)


def test_the_most_similar_comes_first_and_what_is_below_the_bar_not_at_all() -> None:
    nearest = Nearest()
    for digest, one in (("north", NORTH), ("near", NEAR_EAST), ("east", EAST)):
        nearest.add(digest, "s", one)
    found = nearest.find("s", EAST, 0.9, 8)
    assert [digest for digest, _ in found] == ["east", "near"]
    assert found[0][1] == pytest.approx(1.0)
    assert found[1][1] == pytest.approx(float(EAST @ NEAR_EAST))
    assert [digest for digest, _ in nearest.find("s", EAST, 0.9, 1)] == ["east"]


def test_another_scope_is_not_looked_at() -> None:
    nearest = Nearest()
    nearest.add("a", "one", EAST)
    assert nearest.find("other", EAST, 0.0, 8) == []


def test_what_is_dropped_is_found_no_more_and_the_rest_still_is() -> None:
    nearest, apart = Nearest(), np.eye(20, DIMENSIONS, dtype=np.float32)
    for number in range(20):
        nearest.add(str(number), "s", apart[number])
    nearest.drop({str(number) for number in range(0, 20, 2)} | {"unknown"})
    assert nearest.digests() == {str(number) for number in range(1, 20, 2)}
    for number in range(20):
        assert nearest.find("s", apart[number], 0.9, 8) == ([(str(number), 1.0)] if number % 2 else [])


def test_a_digest_has_one_vector_in_one_scope() -> None:
    nearest = Nearest()
    nearest.add("a", "one", EAST)
    nearest.add("a", "other", NORTH)
    assert len(nearest) == 1
    assert nearest.find("one", EAST, 0.0, 8) == []
    assert [digest for digest, _ in nearest.find("other", NORTH, 0.9, 8)] == ["a"]
