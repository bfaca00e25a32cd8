"""Walks a log from its first leaf to its last, and compares the tree that comes out with the one that is kept."""

from collections.abc import Iterable, Iterator

from contract.merkle import Frontier, Nodes


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
        self.first_kept: int | None = None
        self.kept = 0

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
            self.first_kept = self.size if self.first_kept is None else self.first_kept
        elif self.first_kept is not None:
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
