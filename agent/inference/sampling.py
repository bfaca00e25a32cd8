"""Chooses the next token from the model's logits."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.prompts import Sampling
from contract.errors import InvalidRequest, Reason

Row = npt.NDArray[np.float32]

MAX_TEMPERATURE = 10.0
MAX_STOP_SEQUENCES = 16


def check_sampling(sampling: Sampling) -> None:
    """Refuses values that mean nothing.

    Raises:
        InvalidRequest: FIELD_INVALID, naming the field and what it may be.
    """
    rules = (
        ("max_tokens", "at least 1", sampling.max_tokens is None or sampling.max_tokens >= 1),
        ("temperature", f"0 to {MAX_TEMPERATURE:g}", 0 <= sampling.temperature <= MAX_TEMPERATURE),
        ("top_p", "above 0 and at most 1", 0 < sampling.top_p <= 1),
        ("top_k", "0 (off) or more", sampling.top_k >= 0),
        ("repetition_penalty", "above 0 and at most 10", 0 < sampling.repetition_penalty <= 10),
        ("seed", "0 or more", sampling.seed is None or sampling.seed >= 0),
        ("stop", f"at most {MAX_STOP_SEQUENCES} sequences", len(sampling.stop) <= MAX_STOP_SEQUENCES),
    )
    for field, allowed, holds in rules:
        if not holds:
            raise InvalidRequest(Reason.FIELD_INVALID, f"{field} is out of range: it may be {allowed}.")


class Sampler:
    """Chooses one answer's tokens.

    Args:
        sampling: how; temperature 0 takes the likeliest.
        prompt: the prompt's tokens, which the repetition penalty counts too.
        random: where chance comes from.
    """

    def __init__(self, sampling: Sampling, prompt: Sequence[int], random: np.random.Generator) -> None:
        self._sampling = sampling
        self._random = random
        self._seen = np.unique(np.array(prompt, np.int64)) if sampling.repetition_penalty != 1 else None

    @property
    def is_plain_greedy(self) -> bool:
        """Whether the choice is simply the highest logit."""
        return self._sampling.temperature == 0 and self._seen is None

    def choose(self, logits: Row) -> int:
        """Returns the next token. `logits` [vocabulary] is not changed."""
        if self.is_plain_greedy:
            return int(logits.argmax())
        logits = self._penalized(logits)
        token = int(logits.argmax()) if self._sampling.temperature == 0 else self._draw(logits / self._sampling.temperature)
        if self._seen is not None:
            self._seen = np.union1d(self._seen, [token])
        return token

    def _penalized(self, logits: Row) -> Row:
        """Makes seen tokens less likely (Keskar et al. 2019, "CTRL", section 4.1)."""
        if self._seen is None:
            return logits
        penalty = self._sampling.repetition_penalty
        logits = logits.copy()
        seen = logits[self._seen]
        logits[self._seen] = np.where(seen > 0, seen / penalty, seen * penalty)
        return logits

    def _draw(self, logits: Row) -> int:
        """Draws from the top_k likeliest, then from the fewest of them that hold top_p of the probability (Holtzman et al. 2020)."""
        top_k = self._sampling.top_k
        candidates = np.argpartition(logits, -top_k)[-top_k:] if 0 < top_k < len(logits) else np.arange(len(logits))
        candidates = candidates[np.argsort(-logits[candidates], kind="stable")]
        weights = np.exp(logits[candidates].astype(np.float64) - float(logits[candidates[0]]))
        cumulative = np.cumsum(weights)
        kept = int(np.searchsorted(cumulative, self._sampling.top_p * cumulative[-1])) + 1
        point = self._random.random() * cumulative[min(kept, len(cumulative)) - 1]
        return int(candidates[min(int(np.searchsorted(cumulative, point, side="right")), kept - 1)])


def log_probability(logits: Row, token: int) -> float:
    """Returns the natural logarithm of a token's probability under the unmodified distribution."""
    highest = logits.max()
    shifted = logits - highest
    value = float(logits[token] - highest) - math.log(np.exp(shifted, out=shifted).sum())
    return min(value, 0.0) if math.isfinite(value) else -math.inf
