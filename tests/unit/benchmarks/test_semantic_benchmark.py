"""The benchmark of the semantic cache counts as it says."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.semantic import Pair, area, by_rule, own_pairs, read_pairs, similarities, told

SAME = np.array([True, False, True, False])


def test_the_area_is_the_chance_that_what_is_the_same_is_more_similar() -> None:
    assert area(np.array([0.9, 0.1, 0.8, 0.2]), SAME) == 1.0
    assert area(np.array([0.1, 0.9, 0.2, 0.8]), SAME) == 0.0
    assert area(np.array([0.5, 0.5, 0.5, 0.5]), SAME) == 0.5
    assert area(np.array([0.9, 0.8, 0.7, 0.1]), SAME) == 0.75


def test_precision_is_of_what_is_given_and_recall_of_what_is_the_same() -> None:
    assert told(np.array([True, True, False, False]), SAME) == {"precision": 0.5, "recall": 0.5, "given": 2}
    assert told(np.array([False, False, False, False]), SAME) == {"precision": 0.0, "recall": 0.0, "given": 0}


def test_a_rule_is_right_where_the_questions_are_not_the_same_and_only_near_ones_count() -> None:
    near = np.array([True, True, False, True])
    assert by_rule(["name", "name", "name", ""], near, SAME) == {"name": {"rightly": 1, "wrongly": 1}}


def test_a_file_of_pairs_and_the_own_ones_are_read(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps({"a": "x", "b": "y", "same": 1}) + "\n")
    assert read_pairs(file) == [Pair("x", "y", True)]
    assert {pair.same for pair in own_pairs()} == {True, False}


def test_each_text_is_embedded_once() -> None:
    seen: list[str] = []

    def embed(text: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        seen.append(text)
        return np.array([1.0, len(text)], np.float32)

    figures = similarities([Pair("a", "bb", True), Pair("bb", "a", False)], embed)
    assert figures.tolist() == pytest.approx([3.0, 3.0])
    assert sorted(seen) == ["a", "bb"]
