"""One answer as it grows: from logits to tokens, from tokens to text, and to its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from agent.inference.sampling import Sampler, log_probability
from agent.inference.speculation import PromptLookup
from agent.inference.streaming import StopFilter, StreamDecoder

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Piece:
    """One step's worth of output.

    Args:
        text: may be empty while a character or a possible stop sequence is incomplete.
        logprob: natural logarithm of the token's probability under the unmodified distribution; None: past those that are told.
        token_id: of the chosen token.
    """

    text: str
    logprob: float | None
    token_id: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The last item of an answer.

    Args:
        finish_reason: `stop` by the model or a stop sequence; `length` by max_tokens or the context.
        input_tokens: of the prompt.
        output_tokens: chosen, a stop token among them.
    """

    finish_reason: Literal["stop", "length"]
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends an answer, and how far ahead it is guessed.

    Args:
        stop_token_ids: any of them ends it.
        max_tokens: of the answer.
        speculation_tokens: guessed at most; 0: never.
        logprob_tokens: of how many of its first tokens the probability is told; None: of all.
    """

    stop_token_ids: frozenset[int]
    max_tokens: int
    speculation_tokens: int
    logprob_tokens: int | None = None


class Answer:
    """The state of one answer.

    Args:
        sampler: chooses its tokens.
        decoder: turns them into text.
        stops: cuts the text.
        limits: end it.
        prompt: its tokens.
    """

    def __init__(self, sampler: Sampler, decoder: StreamDecoder, stops: StopFilter, limits: Limits, prompt: Sequence[int]) -> None:
        self.last_token = -1
        self._sampler = sampler
        self._decoder = decoder
        self._stops = stops
        self._limits = limits
        self._input_tokens = len(prompt)
        self._output_tokens = 0
        can_guess = limits.speculation_tokens > 0 and sampler.is_plain_greedy
        self._lookup = PromptLookup(prompt, limits.speculation_tokens) if can_guess else None

    def take(self, logits: Logits) -> list[Piece | Finished]:
        """Chooses a token from logits [vocabulary]; returns its piece, and `Finished` behind it where the answer ends."""
        token = self._sampler.choose(logits)
        told = self._limits.logprob_tokens
        logprob = log_probability(logits, token) if told is None or self._output_tokens < told else None
        self._output_tokens += 1
        self.last_token = token
        if self._lookup:
            self._lookup.push(token)
        if token in self._limits.stop_token_ids:
            rest = self._rest()
            return [*([Piece(rest, logprob, token)] if rest else []), self._finished("stop")]
        text, stopped = self._stops.push(self._decoder.push(token))
        if stopped:
            return [Piece(text, logprob, token), self._finished("stop")]
        if self._output_tokens < self._limits.max_tokens:
            return [Piece(text, logprob, token)]
        return [Piece(text + self._rest(), logprob, token), self._finished("length")]

    def guess(self) -> list[int]:
        """Returns what the next tokens may be; nothing where there is no ground to guess."""
        return self._lookup.guess(self._limits.max_tokens - self._output_tokens - 1) if self._lookup else []

    def judge_guess(self, guessed: int, right: int) -> None:
        """Learns how many tokens of a guess were right."""
        if self._lookup:
            self._lookup.judge(guessed, right)

    def _rest(self) -> str:
        text, stopped = self._stops.push(self._decoder.finish())
        return text if stopped else text + self._stops.finish()

    def _finished(self, reason: Literal["stop", "length"]) -> Finished:
        return Finished(reason, self._input_tokens, self._output_tokens)
