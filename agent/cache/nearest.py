"""The vectors of kept questions, in memory: the nearest of a scope by brute force, less than a millisecond for 10,000."""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from agent.embedding.embedder import DIMENSIONS, Vector


class Nearest:
    """Vectors by digest, apart by scope. Not for several threads at once."""

    def __init__(self) -> None:
        self._shelves: dict[str, _Shelf] = {}
        self._scopes: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._scopes)

    def add(self, digest: str, scope: str, vector: Vector) -> None:
        """Adds a vector, in place of the one that the digest had."""
        self.drop((digest,))
        self._shelves.setdefault(scope, _Shelf()).add(digest, vector)
        self._scopes[digest] = scope

    def drop(self, digests: Collection[str]) -> None:
        """Forgets the vectors of these digests."""
        for scope in {self._scopes.pop(digest) for digest in digests if digest in self._scopes}:
            self._shelves[scope].drop(digests)
            if not len(self._shelves[scope]):
                del self._shelves[scope]

    def digests(self) -> set[str]:
        """Returns all of them."""
        return set(self._scopes)

    def find(self, scope: str, vector: Vector, bar: float, most: int) -> list[tuple[str, float]]:
        """Returns the digests of a scope that are at least so similar, and how similar: the most similar first, at most so many."""
        return self._shelves[scope].find(vector, bar, most) if scope in self._shelves else []


class _Shelf:
    def __init__(self) -> None:
        self._digests: list[str] = []
        self._places: dict[str, int] = {}
        self._vectors: npt.NDArray[np.float32] = np.zeros((8, DIMENSIONS), np.float32)

    def __len__(self) -> int:
        return len(self._digests)

    def add(self, digest: str, vector: Vector) -> None:
        if len(self) == len(self._vectors):
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
        self._vectors[len(self)] = vector
        self._places[digest] = len(self)
        self._digests.append(digest)

    def drop(self, digests: Collection[str]) -> None:
        """Moves the last row into each hole, and leaves nothing of it where it was: to copy all others would cost a prompt its time."""
        for digest in digests:
            if (place := self._places.pop(digest, None)) is not None:
                moved = self._digests.pop()
                if moved != digest:
                    self._digests[place], self._places[moved] = moved, place
                    self._vectors[place] = self._vectors[len(self)]
                self._vectors[len(self)] = 0

    def find(self, vector: Vector, bar: float, most: int) -> list[tuple[str, float]]:
        # Not by @: its threads wait for cores that the decoder has.
        similarities: npt.NDArray[np.float32] = np.einsum("ij,j->i", self._vectors[: len(self)], vector)
        near = np.flatnonzero(similarities >= bar)
        best = near[np.argsort(-similarities[near], kind="stable")[:most]]
        return [(self._digests[place], float(similarities[place])) for place in best]
