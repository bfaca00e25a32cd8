"""Which beginnings of prompts are kept in the cache, and in which row. Pure: it copies nothing, it says what to copy."""

from collections.abc import Sequence
from dataclasses import dataclass

SHORTEST_TOKENS = 16
"""A shorter prefix is fed again about as fast as it is looked up and copied."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy what one row of the cache holds for the tokens start..end-1 to another row."""

    source: int
    target: int
    start: int
    end: int


class PrefixStore:
    """The prefixes that are kept, least recently used first.

    Args:
        rows: of the cache that belong to the store.
        capacity_tokens: of all prefixes together.
    """

    def __init__(self, rows: Sequence[int], capacity_tokens: int) -> None:
        self._free = list(rows)
        self._capacity_tokens = capacity_tokens
        self._kept: dict[int, tuple[int, ...]] = {}

    @property
    def kept(self) -> dict[int, tuple[int, ...]]:
        """The tokens of each row in use, least recently used first."""
        return dict(self._kept)

    def find(self, tokens: Sequence[int]) -> tuple[int, int]:
        """Returns the row that shares the longest prefix with `tokens`, and the prefix's length; (-1, 0) where none is worth it."""
        best = max(self._kept, key=lambda row: _shared(self._kept[row], tokens), default=-1)
        length = _shared(self._kept[best], tokens) if best >= 0 else 0
        if length < SHORTEST_TOKENS:
            return -1, 0
        self._kept[best] = self._kept.pop(best)
        return best, length

    def keep(self, tokens: Sequence[int], row: int) -> tuple[Copy | None, list[int]]:
        """Keeps a prompt's tokens, which the cache's row `row` holds; as many of them as there is room for.

        A prefix that the new one continues is continued in place.

        Returns:
            What to copy, and the rows whose memory is free now.
        """
        kept = tuple(tokens[: self._capacity_tokens])
        if len(kept) < SHORTEST_TOKENS or any(old[: len(kept)] == kept for old in self._kept.values()):
            return None, []
        target, start = self._row_to_continue(kept)
        if target < 0 and self._free:
            target = self._free.pop()
        elif target < 0:
            target = next(iter(self._kept), -1)
        if target < 0:
            return None, []
        self._kept.pop(target, None)
        self._kept[target] = kept
        return Copy(row, target, start, len(kept)), self._evict()

    def _row_to_continue(self, tokens: tuple[int, ...]) -> tuple[int, int]:
        for row, old in self._kept.items():
            if tokens[: len(old)] == old:
                return row, len(old)
        return -1, 0

    def _evict(self) -> list[int]:
        evicted = []
        while sum(map(len, self._kept.values())) > self._capacity_tokens:
            row = next(iter(self._kept))
            del self._kept[row]
            evicted.append(row)
        self._free += evicted
        return evicted


def _shared(kept: tuple[int, ...], tokens: Sequence[int]) -> int:
    """Returns how many tokens two sequences begin with alike."""
    length = 0
    for old, new in zip(kept, tokens, strict=False):
        if old != new:
            break
        length += 1
    return length
