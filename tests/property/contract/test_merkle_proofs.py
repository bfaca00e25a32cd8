"""Trees of every size to 64, and larger ones by chance: every proof is good, and none that is bent."""

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.merkle import (
    Frontier,
    Node,
    append,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    is_included,
    leaf_hash,
    node_hash,
    root,
)
from tests.fakes.tree import kept

MOST = 64
LEAVES = [leaf_hash(bytes([number])) for number in range(MOST)]
NODES = kept(LEAVES)
LARGE = [leaf_hash(number.to_bytes(4, "big")) for number in range(3000)]
LARGE_NODES = kept(LARGE)


def by_definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(by_definition(leaves[:split]), by_definition(leaves[split:]))


def test_the_root_of_every_size_is_that_of_the_definition() -> None:
    for size in range(MOST + 1):
        assert root(NODES, size) == by_definition(LEAVES[:size])


def test_every_leaf_of_every_size_is_proven_and_no_other_leaf_or_place() -> None:
    for size in range(1, MOST + 1):
        top = root(NODES, size)
        for index in range(size):
            proof = inclusion_proof(NODES, index, size)
            assert is_included(LEAVES[index], index, size, proof, top)
            assert size == 1 or not is_included(LEAVES[index - 1], index, size, proof, top)
            assert size == 1 or not is_included(LEAVES[index], (index + 1) % size, size, proof, top)


def test_every_pair_of_sizes_is_proven_and_no_other_root() -> None:
    for second in range(1, MOST + 1):
        for first in range(1, second + 1):
            proof = consistency_proof(NODES, first, second)
            old, new = root(NODES, first), root(NODES, second)
            assert is_consistent(first, old, second, new, proof)
            assert not is_consistent(first, LEAVES[-1][::-1], second, new, proof)
            assert not is_consistent(first, old, second, LEAVES[-1][::-1], proof)
            assert first == second or not is_consistent(first, old, second, new, proof[:-1])


@settings(max_examples=300)
@given(st.data())
def test_proofs_of_larger_trees_are_good_and_bent_ones_are_not(data: st.DataObject) -> None:
    second = data.draw(st.integers(MOST, len(LARGE)))
    first, index = data.draw(st.integers(1, second - 1)), data.draw(st.integers(0, second - 1))
    old, new = root(LARGE_NODES, first), root(LARGE_NODES, second)
    consistency, inclusion = consistency_proof(LARGE_NODES, first, second), inclusion_proof(LARGE_NODES, index, second)
    assert is_consistent(first, old, second, new, consistency)
    assert is_included(LARGE[index], index, second, inclusion, new)
    for bent in bent_ones(data, consistency):
        assert not is_consistent(first, old, second, new, bent)
    for bent in bent_ones(data, inclusion):
        assert not is_included(LARGE[index], index, second, bent, new)


def bent_ones(data: st.DataObject, proof: list[bytes]) -> list[list[bytes]]:
    """One with a flipped bit, one that is too long, one that is too short."""
    place, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
    flipped = (int.from_bytes(proof[place], "big") ^ 1 << bit).to_bytes(32, "big")
    return [[*proof[:place], flipped, *proof[place + 1 :]], [*proof, proof[-1]], proof[1:]]


@given(st.integers(0, 2000), st.integers(0, 200))
def test_a_frontier_goes_on_where_it_was_left(size: int, more: int) -> None:
    frontier = Frontier.resume(LARGE_NODES, size)
    made = [node for leaf in LARGE[size : size + more] for node in frontier.append(leaf)]
    assert all(node == Node(node.level, node.position, LARGE_NODES(node.level, node.position)) for node in made)
    assert frontier.root() == root(LARGE_NODES, size + more)


@given(st.integers(0, len(LARGE) - 1))
def test_appending_reads_a_logarithm_of_the_nodes_at_most(size: int) -> None:
    read: list[Node] = []

    def node(level: int, position: int) -> bytes:
        read.append(Node(level, position, LARGE_NODES(level, position)))
        return read[-1].hash

    assert append(node, size, LARGE[size]) == Frontier.resume(LARGE_NODES, size).append(LARGE[size])
    assert len(read) <= size.bit_length()


def test_a_log_that_was_changed_anywhere_cannot_be_joined_to_what_it_was() -> None:
    for size in range(2, 20):
        for changed in range(size):
            other = kept([*LEAVES[:changed], LEAVES[-1], *LEAVES[changed + 1 : size + 5]])
            proof = consistency_proof(other, size, size + 5)
            assert not is_consistent(size, root(NODES, size), size + 5, root(other, size + 5), proof)
