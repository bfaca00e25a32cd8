"""Spot checks: good where the log is whole, and named where an answer is bent."""

import json
from datetime import UTC, datetime

import pytest

from contract.challenge import MOST_LEAVES, USUAL_LEAVES, answer, drawn, faults
from contract.errors import InvalidRequest
from contract.merkle import leaf_hash, root
from contract.tree_heads import TreeHead
from tests.fakes.tree import kept

NAME = "agents/plant-7/commands/c1"
NODES = kept([leaf_hash(b"%d" % number) for number in range(1000)])
HEAD = TreeHead("agents/plant-7", 1000, root(NODES, 1000), datetime(2026, 11, 28, tzinfo=UTC))
ANSWER = answer(NODES, NAME, 0, HEAD)


def test_which_ones_are_proven_follows_from_the_commands_name() -> None:
    chosen = drawn(NAME, 0, 10**9)
    assert len(chosen) == USUAL_LEAVES
    assert chosen == sorted(chosen) == drawn(NAME, USUAL_LEAVES, 10**9)
    assert chosen != drawn(NAME + "2", 0, 10**9)
    assert len(drawn(NAME, 1000, 10**9)) == MOST_LEAVES
    assert drawn(NAME, 5, 1) == [0]
    assert drawn(NAME, 5, 0) == []


def test_an_answer_of_a_whole_log_is_good_and_not_too_long() -> None:
    assert list(faults(ANSWER, NAME, 0, HEAD)) == []
    assert len(answer(NODES, NAME, MOST_LEAVES, HEAD)) < 60_000


def test_an_answer_of_another_log_is_not() -> None:
    other = kept([leaf_hash(b"x%d" % number) for number in range(1000)])
    found = list(faults(answer(other, NAME, 0, HEAD), NAME, 0, HEAD))
    assert len(found) == USUAL_LEAVES
    assert "is not proven to be in the log that was witnessed" in found[0]


def test_an_answer_to_something_else_is_named() -> None:
    assert list(faults(ANSWER, NAME + "2", 0, HEAD)) == ["it does not prove the receipts that were asked for"]
    assert list(faults(ANSWER, NAME, 3, HEAD)) == ["it does not prove the receipts that were asked for"]
    older = TreeHead(HEAD.log, 999, root(NODES, 999), HEAD.time)
    assert "it is about another head" in next(faults(ANSWER, NAME, 0, older))


@pytest.mark.parametrize(
    "text", ["", "no", '["a"]', "{}\n{}", json.dumps(HEAD.to_dict()) + '\n{"number":1,"leaf_hash":"x","inclusion_proof":[]}']
)
def test_what_is_no_answer_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        list(faults(text, NAME, 0, TreeHead("a", 0, b"", HEAD.time)))
