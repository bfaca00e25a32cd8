"""A model whose next token follows from what its cache holds, so that a wrong row, a stale row or a wrong prefix gives a wrong answer."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

VOCABULARY = 50
STOP_TOKEN = 0
EMPTY = -1


def next_token(tokens: Sequence[int]) -> int:
    """Returns what follows a sequence: mostly the next number, so that texts repeat; now and then another, which depends on all before."""
    digest = hashlib.blake2b(np.array(tokens, np.int64).tobytes(), digest_size=4).digest()
    number = int.from_bytes(digest)
    return (tokens[-1] + 1) % VOCABULARY if number % 8 else number % VOCABULARY


class FakeModel:
    """Keeps token ids where the real one keeps keys and values.

    Args:
        rows: of the cache.
        context_tokens: of a row; more is an error.
    """

    def __init__(self, rows: int, context_tokens: int) -> None:
        self.cache = np.full((rows, context_tokens), EMPTY, np.int64)
        self.fed: list[int] = []
        """How many tokens each run was fed."""
        self.positions: list[int] = []
        """How many positions' logits each run gave for one row."""

    def decode(self, tokens: Sequence[int], lengths: Sequence[int]) -> npt.NDArray[np.float32]:
        self.fed.append(len(tokens))
        self.positions.append(1)
        for row, (token, length) in enumerate(zip(tokens, lengths, strict=True)):
            self.cache[row, length] = token
        return np.concatenate([self._logits(row, length + 1) for row, length in enumerate(lengths)])

    def extend(self, row: int, tokens: Sequence[int], start: int, positions: int = 1) -> npt.NDArray[np.float32]:
        self.fed.append(len(tokens))
        self.positions.append(positions)
        end = start + len(tokens)
        assert end <= self.cache.shape[1]
        self.cache[row, start:end] = tokens
        return np.concatenate([self._logits(row, length) for length in range(end - positions + 1, end + 1)])

    def copy(self, source: int, target: int, start: int, end: int) -> None:
        self.cache[target, start:end] = self.cache[source, start:end]

    def release(self, row: int) -> None:
        self.cache[row] = EMPTY

    def _logits(self, row: int, length: int) -> npt.NDArray[np.float32]:
        logits = np.zeros((1, VOCABULARY), np.float32)
        logits[0, next_token(list(self.cache[row, :length]))] = 5.0
        return logits
