"""How likely a text is to a model, token by token: what perplexity is made of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agent.inference.answer import Logits
from agent.inference.sampling import log_probability


@dataclass(frozen=True, slots=True)
class Scored:
    """A text that was scored.

    Args:
        logprobs: natural logarithm of the probability of each token but the first, after all before it.
    """

    logprobs: tuple[float, ...]

    @property
    def perplexity(self) -> float:
        """Returns e to the mean negative log-probability; infinite where one of them is no number."""
        mean = sum(self.logprobs) / len(self.logprobs)
        return math.exp(min(-mean, 700.0)) if math.isfinite(mean) else math.inf


class Scoring:
    """A text while it is scored, piece by piece.

    Args:
        tokens: of the text, at least two.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = tokens
        self._logprobs: list[float] = []

    def take(self, start: int, logits: Logits) -> None:
        """Takes the logits [positions, vocabulary] of the tokens from `start` on."""
        following = self._tokens[start + 1 : start + 1 + len(logits)]
        self._logprobs += [log_probability(row, token) for row, token in zip(logits, following, strict=False)]

    def scored(self) -> Scored:
        """Returns what has come of it."""
        return Scored(tuple(self._logprobs))
