"""What is measured: on the same windows of a text, each model is given the true tokens and asked for the next one."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.blocks import Floats
from models.progress import Progress

WINDOW_TOKENS = 512
"""Long enough for most of the context to count, short enough that a reference is computed in seconds."""

Window = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model says at every position of one or more windows but the last ones.

    Args:
        log_probabilities: of the token that really follows, natural logarithm, float64 [positions].
        best: the token that the model thinks likeliest, int64 [positions].
    """

    log_probabilities: NDArray[np.float64]
    best: NDArray[np.int64]

    def perplexity(self) -> float:
        """Returns e to the mean negative log-probability."""
        return math.exp(-float(self.log_probabilities.mean()))

    def agreement(self, other: "Scores") -> float:
        """Returns the share of positions at which both think the same token likeliest."""
        return float((self.best == other.best).mean())


class Scorer(Protocol):
    """A model that can be measured."""

    def score(self, windows: Sequence[Window], progress: Progress) -> Scores:
        """Scores all windows; none knows of another."""
        ...


def windows(token_ids: Sequence[int], size: int) -> list[Window]:
    """Cuts a text into windows that follow each other; what is left at the end is left out, unless it is all there is."""
    starts = range(0, max(len(token_ids) - size, 0) + 1, size)
    return [tuple(token_ids[start : start + size]) for start in starts]


def of_logits(logits: Floats, following: Sequence[int]) -> Scores:
    """Scores one window by its logits.

    Args:
        logits: [positions, vocabulary].
        following: the true token behind each position.
    """
    highest = logits.max(axis=1, keepdims=True)
    normalizers = np.log(np.exp((logits - highest).astype(np.float64)).sum(axis=1))
    chosen = (logits - highest)[np.arange(len(following)), np.asarray(following)]
    return Scores(chosen - normalizers, logits.argmax(axis=1))


def joined(parts: Sequence[Scores] | Iterator[Scores]) -> Scores:
    """Joins the scores of several windows."""
    parts = list(parts)
    return Scores(np.concatenate([part.log_probabilities for part in parts]), np.concatenate([part.best for part in parts]))
