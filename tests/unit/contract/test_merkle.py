"""The tree, against the vectors of RFC 6962's reference implementation (certificate-transparency, merkle_tree_test.cc)."""

import hashlib

import pytest

from contract.merkle import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    is_included,
    leaf_hash,
    node_hash,
    root,
)
from tests.fakes.tree import kept

LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
HASHES = [leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAF_2, PAIR_2, FOUR_2 = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
)
LEAF_5, PAIR_3, PAIR_4 = (
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
)
INCLUSION = [
    (0, 1, []),
    (0, 8, [LEAF_2, PAIR_2, FOUR_2]),
    (5, 8, [LEAF_5, PAIR_4, ROOTS[3]]),
    (2, 3, [ROOTS[1]]),
    (1, 5, [ROOTS[0], PAIR_2, LEAF_5]),
]
CONSISTENCY = [(1, 1, []), (1, 8, [LEAF_2, PAIR_2, FOUR_2]), (6, 8, [PAIR_3, PAIR_4, ROOTS[3]]), (2, 5, [PAIR_2, LEAF_5])]


NODES = kept(HASHES)


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert Frontier().root() == root(NODES, 0) == hashlib.sha256(b"").digest()
    assert root(NODES, 0).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_leaves_and_nodes_are_told_apart_by_their_prefixes() -> None:
    assert leaf_hash(b"") == hashlib.sha256(b"\x00").digest()
    assert node_hash(b"l" * 32, b"r" * 32) == hashlib.sha256(b"\x01" + b"l" * 32 + b"r" * 32).digest()
    assert leaf_hash(HASHES[0] + HASHES[1]) != node_hash(HASHES[0], HASHES[1])


@pytest.mark.parametrize("size", range(1, 9))
def test_the_published_roots_come_out(size: int) -> None:
    assert root(NODES, size).hex() == ROOTS[size - 1]
    frontier = Frontier()
    for leaf in HASHES[:size]:
        frontier.append(leaf)
    assert frontier.root().hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("index", "size", "proof"), INCLUSION)
def test_the_published_inclusion_proofs_come_out_and_are_good(index: int, size: int, proof: list[str]) -> None:
    assert [item.hex() for item in inclusion_proof(NODES, index, size)] == proof
    assert is_included(HASHES[index], index, size, [bytes.fromhex(item) for item in proof], bytes.fromhex(ROOTS[size - 1]))


@pytest.mark.parametrize(("first", "second", "proof"), CONSISTENCY)
def test_the_published_consistency_proofs_come_out_and_are_good(first: int, second: int, proof: list[str]) -> None:
    assert [item.hex() for item in consistency_proof(NODES, first, second)] == proof
    roots = bytes.fromhex(ROOTS[first - 1]), bytes.fromhex(ROOTS[second - 1])
    assert is_consistent(first, roots[0], second, roots[1], [bytes.fromhex(item) for item in proof])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (8, 8), (-1, 8), (9, 8)])
def test_no_proof_is_made_and_none_is_good_for_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="has no leaf"):
        inclusion_proof(NODES, index, size)
    assert not is_included(HASHES[0], index, size, [], root(NODES, size))


@pytest.mark.parametrize(("first", "second"), [(0, 8), (5, 4), (-1, 8)])
def test_no_consistency_proof_is_made_for_sizes_that_are_none(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="no proof"):
        consistency_proof(NODES, first, second)


def test_every_tree_goes_on_from_the_empty_one_and_none_shrinks() -> None:
    eight = root(NODES, 8)
    assert is_consistent(0, root(NODES, 0), 8, eight, [])
    assert not is_consistent(0, root(NODES, 0), 8, eight, [eight])
    assert is_consistent(8, eight, 8, eight, [])
    assert not is_consistent(8, eight, 8, root(NODES, 7), [])
    assert not is_consistent(8, eight, 7, root(NODES, 7), [])
    assert not is_consistent(4, root(NODES, 4), 8, eight, [])


def test_a_proof_of_the_empty_kind_is_not_good_where_one_is_needed() -> None:
    assert not is_included(HASHES[0], 0, 8, [], root(NODES, 8))
    assert not is_included(root(NODES, 8), 0, 8, [], root(NODES, 8))
