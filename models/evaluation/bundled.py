"""Our own side: the bundle in the agent's session, scored and timed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from agent.inference.session import ModelSession
from contract.bundle import MODEL_FILE, Shape
from models.blocks import Floats
from models.evaluation.scores import WINDOW_TOKENS, Scores, Window, joined, of_logits
from models.progress import Progress

_PIECE_TOKENS = 128
"""Positions whose logits are held at once."""

_DECODED_TOKENS = 64
_TIMED_RUNS = 3

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second of one sequence: read as a prompt, and written one by one behind it."""

    prefill: float
    decode: float


class BundleScorer:
    """A bundle in the session that the agent runs it in.

    Args:
        folder: the verified bundle's.
        shape: its sizes.
        threads: that compute.
        clock: seconds that only grow.
    """

    def __init__(self, folder: Path, shape: Shape, threads: int, clock: Clock) -> None:
        room = min(WINDOW_TOKENS + _DECODED_TOKENS, shape.context_tokens)
        self._decoded = min(_DECODED_TOKENS, room // 2)
        self._prompt = room - self._decoded
        self._session = ModelSession(folder / MODEL_FILE, shape, rows=1, context_tokens=room, threads=threads)
        self._clock = clock

    def score(self, windows: Sequence[Window], progress: Progress) -> Scores:
        """Scores all windows."""
        return joined(of_logits(self._logits(window[:-1]), window[1:]) for window in progress.over("This bundle", windows))

    def speed(self, prompt: Window, progress: Progress) -> Speed:
        """Times a prompt and an answer behind it, some times over; returns the medians."""
        runs = [self._timed(prompt[: self._prompt]) for _ in progress.over("Speed", range(_TIMED_RUNS))]
        return Speed(prefill=median(run.prefill for run in runs), decode=median(run.decode for run in runs))

    def _logits(self, tokens: Window) -> Floats:
        """Returns the logits of every position, float32 [positions, vocabulary]."""
        starts = range(0, len(tokens), _PIECE_TOKENS)
        pieces = [(start, tokens[start : start + _PIECE_TOKENS]) for start in starts]
        return np.concatenate([self._session.extend(0, piece, start, len(piece)).copy() for start, piece in pieces])

    def _timed(self, prompt: Window) -> Speed:
        begun = self._clock()
        for start in range(0, len(prompt), _PIECE_TOKENS):
            logits = self._session.extend(0, prompt[start : start + _PIECE_TOKENS], start)
        read = self._clock()
        for length in range(len(prompt), len(prompt) + self._decoded):
            logits = self._session.decode([int(logits[0].argmax())], [length])
        return Speed(prefill=len(prompt) / (read - begun), decode=self._decoded / (self._clock() - read))
