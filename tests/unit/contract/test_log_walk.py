"""A walk over a log: it comes out as it was kept, or says where it does not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from contract.log_walk import Walk, gone_too_early, head_faults, missing
from contract.merkle import Nodes, leaf_hash, root
from contract.tree_heads import SignedHead, TreeHead, sign_head
from tests.fakes.tree import kept

NOW = datetime(2026, 11, 28, tzinfo=UTC)
LEAVES = [leaf_hash(b"%d" % number) for number in range(9)]
NODES = kept(LEAVES)


def head(size: int, time: datetime = NOW) -> SignedHead:
    return SignedHead(TreeHead("hub", size, root(NODES, size), time))


def walked(nodes: Nodes, *forgotten: int) -> tuple[Walk, list[str]]:
    walk = Walk(nodes, [4, 9])
    return walk, [found for number, leaf in enumerate(LEAVES) for found in walk.step(leaf, number not in forgotten)]


def test_a_whole_log_comes_out_with_the_roots_that_are_wanted() -> None:
    walk, found = walked(NODES)
    assert (found, walk.size, walk.kept, walk.first_kept) == ([], 9, 9, 0)
    assert walk.roots == {size: root(NODES, size) for size in (0, 4, 9)}


def test_what_is_forgotten_from_the_first_on_is_no_gap_and_what_is_behind_is() -> None:
    walk, found = walked(NODES, 0, 1, 5)
    assert found == ["number 5 was removed: its leaf is there, and older ones are"]
    assert (walk.first_kept, walk.kept) == (2, 6)


def test_where_nothing_is_kept_all_is_gone() -> None:
    walk, found = walked(NODES, *range(9))
    assert (found, walk.first_kept) == ([], 9)
    early = list(gone_too_early(walk, [head(4), head(9)], NOW - timedelta(days=1), "receipts", "receipt_seconds"))
    assert early == ["receipts 4 to 8 are gone, and are younger than receipt_seconds: they came after 2026-11-28T00:00:00.000+00:00"]
    assert list(gone_too_early(walk, [head(4), head(9)], NOW, "receipts", "receipt_seconds")) == []


def test_a_node_that_is_missing_or_another_is_named() -> None:
    def bent(level: int, position: int) -> bytes:
        if (level, position) == (1, 1):
            raise LookupError
        return b"other" if (level, position) == (3, 0) else NODES(level, position)

    _, found = walked(bent)
    assert found == [f"the tree over the {size} leaves up to {last} is not what they come to" for size, last in ((2, 3), (8, 7))]
    assert missing(3, 5).startswith("leaves 3 to 4 are missing")


def test_heads_are_held_against_what_came_out() -> None:
    walk, _ = walked(NODES)
    signed = sign_head(ec.generate_private_key(ec.SECP256R1()), head(9).head)
    assert [*head_faults(walk, head(4), "entries"), *head_faults(walk, signed, "entries")] == []
    (cut,) = head_faults(walk, replace(head(9), head=replace(head(9).head, size=10)), "entries")
    assert "says 10 entries, and 9 are here" in cut
    (other,) = head_faults(walk, SignedHead(replace(head(4).head, root=b"x" * 32)), "entries")
    assert "its first 4 entries are not those" in other
    (unsigned,) = head_faults(walk, replace(signed, signature=b"x"), "entries")
    assert "is not signed by the key that it names" in unsigned
