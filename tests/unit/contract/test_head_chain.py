"""The chain of heads: what was taken out of it shows, what was forgotten in order does not."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from contract.head_chain import chain_faults, contradiction, forgotten_before
from contract.tree_heads import Chain, TreeHead, sign_head

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
DAY = timedelta(days=1)
AGE = 30 * DAY
LONG_AGO = NOW - 365 * DAY


def chained(*days: int, age: timedelta = AGE) -> list[TreeHead]:
    """Heads of 10, 20, … receipts, made so many days ago, each of which names the one before."""
    heads: list[TreeHead] = []
    for number, before in enumerate(days):
        time = NOW - before * DAY
        chain = Chain(heads[-1].as_previous() if heads else None, time - age)
        heads.append(TreeHead("agents/a", 10 * (number + 1), bytes([number]) * 32, time, chain))
    return heads


def faults(heads: Sequence[TreeHead], kept_since: datetime = NOW - AGE) -> list[str]:
    return list(chain_faults(heads, kept_since))


HEADS = chained(9, 6, 3, 1)
OLD = [replace(head, chain=None) for head in HEADS]


@pytest.mark.parametrize("heads", [[], HEADS[:1], HEADS, OLD, [*OLD[:2], *chained(9, 6, 3)[2:]]])
def test_a_whole_chain_and_heads_of_earlier_versions_have_no_faults(heads: list[TreeHead]) -> None:
    if heads[:2] == OLD[:2] and len(heads) == 3:  # the first that names one names an old one
        heads = [*heads[:2], replace(heads[2], chain=Chain(heads[1].as_previous(), NOW - AGE))]
    assert faults(heads) == []


@pytest.mark.parametrize(
    ("left", "missing"),
    [(HEADS[1:], "10 receipts"), (HEADS[3:], "30 receipts"), ([HEADS[0], *HEADS[2:]], "20 receipts"), (HEADS[::3], "30 receipts")],
)
def test_a_head_that_was_taken_away_is_named_by_the_next_one(left: list[TreeHead], missing: str) -> None:
    (fault,) = faults(left)
    assert fault.startswith(f"the head of {missing}, ")
    assert "is missing" in fault


def test_what_was_forgotten_in_order_is_no_fault() -> None:
    heads = chained(90, 40, 29, 2)
    assert faults(heads[2:]) == []
    assert faults(heads[2:], LONG_AGO) == [], "also where receipt_seconds has become longer since"
    (fault,) = faults(heads[3:])
    assert "the head of 30 receipts" in fault


def test_the_last_that_was_forgotten_bounds_what_may_be_missing() -> None:
    heads = chained(90, 40, 29, 2)
    assert forgotten_before(heads, LONG_AGO) == NOW - 32 * DAY
    assert forgotten_before(heads, NOW - DAY) == NOW - DAY
    assert forgotten_before(OLD, LONG_AGO) == LONG_AGO


def test_a_head_in_anothers_place_is_found() -> None:
    bent = [HEADS[0], replace(HEADS[1], root=b"x" * 32), *HEADS[2:]]
    (fault,) = faults(bent)
    assert "the head of 20 receipts" in fault
    assert "is not the one that the head of 30 names" in fault
    between = replace(OLD[1], size=25)
    assert any("the head of 25 receipts" in fault for fault in faults([*HEADS[:2], between, *HEADS[2:]]))


def test_a_head_that_names_none_behind_others_is_found() -> None:
    assert any("names none before it" in fault for fault in faults([*HEADS[:3], OLD[3]]))
    first = replace(HEADS[3], chain=Chain(None, NOW - AGE))
    assert any("says that it is the first" in fault for fault in faults([*HEADS[:3], first]))


def test_signed_anew_with_another_key_it_is_the_head_that_others_name() -> None:
    for _ in range(2):
        signed = sign_head(ec.generate_private_key(ec.SECP256R1()), HEADS[0])
        assert signed.head.hash() == HEADS[0].hash()
    assert faults([signed.head, *HEADS[1:]]) == []


def test_a_later_head_of_the_chain_contradicts_none_before() -> None:
    for number, before in enumerate(HEADS):
        assert [contradiction(before, head) for head in HEADS[number:]] == [""] * (len(HEADS) - number)
        assert [contradiction(OLD[number], head) for head in OLD[number:]] == [""] * (len(HEADS) - number)


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (replace(HEADS[1], time=NOW), "another than the one that was witnessed"),
        (OLD[1], "another than the one that was witnessed"),
        (OLD[2], "names none before it, and one of 20 was witnessed"),
        (replace(HEADS[2], chain=Chain(None, NOW - AGE)), "names none before it, and one of 20 was witnessed"),
        (replace(HEADS[2], chain=Chain(HEADS[0].as_previous(), NOW - AGE)), "leaves out the one of 20 that was witnessed"),
        (
            replace(HEADS[2], chain=Chain(replace(HEADS[1], root=b"x").as_previous(), NOW - AGE)),
            "leaves out the one of 20 that was witnessed",
        ),
    ],
)
def test_a_head_that_says_otherwise_than_what_was_witnessed_is_told(head: TreeHead, why: str) -> None:
    assert why in contradiction(HEADS[1], head)
