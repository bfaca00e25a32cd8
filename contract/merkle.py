"""A Merkle tree over a log that only grows: its root, proofs about it, and their verification.

A tree is kept as the hashes of its complete subtrees: the node (level, position) stands over the 2^level leaves from position * 2^level on,
and never changes once it is there. Appending a leaf, the root and every proof read a logarithm of them.

Sources: RFC 6962, section 2.1, for hashes and proofs; RFC 9162, sections 2.1.3.2 and 2.1.4.2, for their verification.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

Nodes = Callable[[int, int], bytes]
"""Returns the hash of a complete subtree, by level and position."""

HASH_BYTES = 32

MOST_HASHES = 64
"""A proof about a log of fewer than 2^63 leaves has no more."""


@dataclass(frozen=True, slots=True)
class Node:
    """The hash of a complete subtree."""

    level: int
    position: int
    hash: bytes


def leaf_hash(content: bytes) -> bytes:
    """Returns the hash of a leaf."""
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Returns the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def append(nodes: Nodes, size: int, leaf: bytes) -> list[Node]:
    """Returns the nodes that are complete with one more leaf, the leaf first. One node is read on average, and a logarithm at most.

    Args:
        nodes: of the tree.
        size: how many leaves it has.
        leaf: the hash of the next one.
    """
    made = [Node(0, size, leaf)]
    while made[-1].position & 1:
        last = made[-1]
        made.append(Node(last.level + 1, last.position >> 1, node_hash(nodes(last.level, last.position - 1), last.hash)))
    return made


class Frontier:
    """The right edge of a tree: all that it takes to append to it, and to tell its root.

    Args:
        size: how many leaves there are.
        peaks: the hashes of the complete subtrees that they fall into, the largest first.
    """

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        self.size = size
        self._peaks = list(peaks)

    @classmethod
    def resume(cls, nodes: Nodes, size: int) -> Self:
        """Goes on with a tree that is kept."""
        levels = [level for level in reversed(range(size.bit_length())) if size >> level & 1]
        return cls(size, [nodes(level, (size >> level) - 1) for level in levels])

    def append(self, leaf: bytes) -> list[Node]:
        """Adds a leaf's hash. Returns the nodes that are complete with it, the leaf first."""
        made = append(lambda _level, _position: self._peaks.pop(), self.size, leaf)
        self._peaks.append(made[-1].hash)
        self.size += 1
        return made

    def root(self) -> bytes:
        """Returns the tree's hash."""
        if not self._peaks:
            return hashlib.sha256().digest()
        *others, result = self._peaks
        for peak in reversed(others):
            result = node_hash(peak, result)
        return result


def root(nodes: Nodes, size: int) -> bytes:
    """Returns the hash of the tree of the first leaves."""
    return Frontier.resume(nodes, size).root()


def inclusion_proof(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """Returns the audit path of a leaf in the tree of the first leaves.

    Args:
        nodes: of a tree of at least `size` leaves.
        index: of the leaf, from 0.
        size: of the tree.

    Raises:
        ValueError: there is no such leaf in it.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} has no leaf {index}")
    begin, end, proof = 0, size, list[bytes]()
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            proof.append(_subtree(nodes, middle, end))
            end = middle
        else:
            proof.append(_subtree(nodes, begin, middle))
            begin = middle
    return proof[::-1]


def consistency_proof(nodes: Nodes, first: int, second: int) -> list[bytes]:
    """Returns the proof that the tree of the first leaves was only appended to.

    Args:
        nodes: of a tree of at least `second` leaves.
        first: the smaller size, from 1.
        second: the larger size.

    Raises:
        ValueError: these are no such sizes.
    """
    if not 0 < first <= second:
        raise ValueError(f"no proof leads from a tree of {first} to one of {second}")
    begin, end, proof = 0, second, list[bytes]()
    while first != end:
        middle = begin + _split(end - begin)
        if first <= middle:
            proof.append(_subtree(nodes, middle, end))
            end = middle
        else:
            proof.append(_subtree(nodes, begin, middle))
            begin = middle
    if begin:
        proof.append(_subtree(nodes, begin, end))
    return proof[::-1]


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root_hash: bytes) -> bool:
    """Says whether a proof shows that a leaf is in a tree.

    Args:
        leaf: its hash.
        index: its place, from 0.
        size: of the tree.
        proof: the audit path.
        root_hash: of the tree.
    """
    if not 0 <= index < size:
        return False
    place, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            result = node_hash(sibling, result)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and hmac.compare_digest(result, root_hash)


def is_consistent(first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Says whether a proof shows that a tree was only appended to. Every tree goes on from the empty one.

    Args:
        first: the smaller size.
        first_root: of the tree of that size.
        second: the larger size.
        second_root: of the tree of that size.
        proof: from `consistency_proof`.
    """
    if first == 0 or first == second:
        same = first == 0 or hmac.compare_digest(first_root, second_root)
        return 0 <= first <= second and not proof and same
    if not 0 < first < second or not proof:
        return False
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and hmac.compare_digest(old, first_root) and hmac.compare_digest(new, second_root)


def _subtree(nodes: Nodes, begin: int, end: int) -> bytes:
    """Returns the hash over some leaves; where they are no complete subtree, they are the right edge of a tree."""
    size = end - begin
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return nodes(level, begin >> level)
    middle = begin + _split(size)
    return node_hash(_subtree(nodes, begin, middle), _subtree(nodes, middle, end))


def _split(size: int) -> int:
    """Returns the largest power of two below a size."""
    return 1 << (size - 1).bit_length() - 1
