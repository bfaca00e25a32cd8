"""Walks a log from its first leaf to its last, and compares what comes out with the tree and the heads that are kept.

What is found is said in a sentence each; `what` in them is what the leaves are, such as `receipts`.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from contract.merkle import Frontier, Nodes
from contract.tree_heads import SignedHead, written


class Walk:
    """How far the walk is.

    Args:
        nodes: the tree that is kept; a node that is missing is a LookupError.
        sizes: of which the root is wanted.
    """

    def __init__(self, nodes: Nodes, sizes: Iterable[int]) -> None:
        self._nodes = nodes
        self._sizes = frozenset(sizes)
        self._frontier = Frontier()
        self.roots = {0: self._frontier.root()}
        self._first_kept: int | None = None
        self.kept = 0

    @property
    def first_kept(self) -> int:
        """The first leaf of which more than the hash is there; the size of the log: there is none."""
        return self.size if self._first_kept is None else self._first_kept

    @property
    def size(self) -> int:
        """How many leaves it has seen."""
        return self._frontier.size

    def step(self, hashed: bytes, is_kept: bool) -> Iterator[str]:
        """Goes over the next leaf, and yields what is wrong.

        Args:
            hashed: the leaf.
            is_kept: whether what it is the hash of is there; old ones may be forgotten, from the first on.
        """
        if is_kept:
            self.kept += 1
            self._first_kept = self.first_kept
        elif self._first_kept is not None:
            yield f"number {self.size} was removed: its leaf is there, and older ones are"
        for node in self._frontier.append(hashed)[1:]:
            if self._kept(node.level, node.position) != node.hash:
                yield f"the tree over the {1 << node.level} leaves up to {self.size - 1} is not what they come to"
        if self.size in self._sizes:
            self.roots[self.size] = self._frontier.root()

    def _kept(self, level: int, position: int) -> bytes:
        try:
            return self._nodes(level, position)
        except LookupError:
            return b""


def missing(size: int, position: int) -> str:
    """Returns what is said of leaves that are not there."""
    return f"leaves {size} to {position - 1} are missing from the tree: the log cannot be read any further"


def gone_too_early(walk: Walk, heads: Iterable[SignedHead], kept_since: datetime, what: str, setting: str) -> Iterator[str]:
    """Yields what was forgotten before its time: a head tells that what follows it is younger.

    Args:
        walk: at the end of the log.
        heads: the smallest log first.
        kept_since: what is younger should be there.
        what: the leaves are.
        setting: that says how long they are kept.
    """
    for signed in heads:
        if signed.head.size < walk.first_kept and signed.head.time > kept_since:
            gone = f"{what} {signed.head.size} to {walk.first_kept - 1} are gone, and are younger than {setting}"
            yield f"{gone}: they came after {written(signed.head.time)}"
            return


def head_faults(walk: Walk, signed: SignedHead, what: str) -> Iterator[str]:
    """Yields what a head says that is not so, and whether its signature is bad."""
    size, time = signed.head.size, written(signed.head.time)
    if size > walk.size:
        yield f"the log was cut off: a head of {time} says {size} {what}, and {walk.size} are here"
    elif walk.roots.get(size) != signed.head.root:
        yield f"the log was rewritten: its first {size} {what} are not those of the head of {time}"
    if signed.is_signed and not signed.is_good():
        yield f"the head of {size} {what}, {time}, is not signed by the key that it names"
