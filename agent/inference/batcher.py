"""Executes what the scheduler decides on the model, and turns logits into pieces of answers. One thread owns it; it starts none."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from agent.inference.answer import Answer, Finished, Limits, Logits, Piece
from agent.inference.prefixes import Copy
from agent.inference.sampling import Sampler
from agent.inference.scheduler import Change, Decode, Prefill, Scheduler
from agent.inference.scoring import Scored, Scoring
from agent.inference.settings import EngineSettings
from agent.inference.streaming import StopFilter, StreamDecoder
from agent.inference.waiting import Request
from agent.prompts import Sampling
from contract.errors import Busy, Reason, SeawallError


class Model(Protocol):
    """What runs: `session.ModelSession`, or a fake one in tests."""

    def decode(self, tokens: Sequence[int], lengths: Sequence[int]) -> Logits:
        """As `ModelSession.decode`."""
        ...

    def extend(self, row: int, tokens: Sequence[int], start: int, positions: int = 1) -> Logits:
        """As `ModelSession.extend`."""
        ...

    def copy(self, source: int, target: int, start: int, end: int) -> None:
        """As `ModelSession.copy`."""
        ...

    def release(self, row: int) -> None:
        """As `ModelSession.release`."""
        ...


Item = Piece | Finished | Scored | SeawallError
Event = tuple[int, Item]
"""A request's id, and what happened to it."""


class Batcher:
    """Many answers at once.

    Args:
        model: what runs.
        settings: its limits.
        decode_text: turns tokens into text.
        stop_token_ids: any of them ends an answer.
    """

    def __init__(
        self, model: Model, settings: EngineSettings, decode_text: Callable[[Sequence[int]], str], stop_token_ids: Sequence[int]
    ) -> None:
        self._model = model
        self._settings = settings
        self._scheduler = Scheduler(settings)
        self._decode_text = decode_text
        self._stop_token_ids = frozenset(stop_token_ids)
        self._answers: dict[int, Answer] = {}
        self._scorings: dict[int, Scoring] = {}

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return self._scheduler.is_idle

    @property
    def request_ids(self) -> Sequence[int]:
        """All requests that are here."""
        return (*self._answers, *self._scorings)

    @property
    def kept_prefixes(self) -> dict[int, tuple[int, ...]]:
        """As `Scheduler.kept_prefixes`."""
        return self._scheduler.kept_prefixes

    def submit(self, request: Request, sampling: Sampling, max_tokens: int, random: np.random.Generator) -> None:
        """Queues a request.

        Raises:
            Busy: QUEUE_FULL.
        """
        self._scheduler.submit(request)
        if request.is_scored:
            self._scorings[request.request_id] = Scoring(request.tokens)
            return
        self._answers[request.request_id] = Answer(
            Sampler(sampling, request.tokens, random),
            StreamDecoder(self._decode_text),
            StopFilter(sampling.stop),
            Limits(self._stop_token_ids, max_tokens, self._settings.speculation_tokens, self._settings.logprob_tokens),
            request.tokens,
        )

    def cancel(self, request_id: int) -> None:
        """Drops a request; one that is not here is no error."""
        if self._answers.pop(request_id, None) or self._scorings.pop(request_id, None):
            self._scheduler.cancel(request_id)

    def step(self, now_seconds: float) -> list[Event]:
        """Runs the model once; returns what came of it."""
        events: list[Event] = []
        for request_id in self._scheduler.expire(now_seconds):
            self._answers.pop(request_id, None)
            self._scorings.pop(request_id, None)
            events.append((request_id, Busy(Reason.DEADLINE_EXCEEDED, "There was no time to answer. Ask again, or allow more time.")))
        changes, run = self._scheduler.next_run()
        self._apply(changes)
        if isinstance(run, Prefill):
            events += self._score(run) if run.request.is_scored else self._prefill(run, now_seconds)
        elif isinstance(run, Decode):
            events += self._decode(run, now_seconds)
        if self._scheduler.is_idle:
            self._apply(self._scheduler.next_run()[0])
        return events

    def _prefill(self, run: Prefill, now_seconds: float) -> list[Event]:
        logits = self._model.extend(run.row, run.request.tokens[run.start : run.end], run.start)
        self._scheduler.ran(run)
        return self._choose((run.request.request_id,), logits, now_seconds) if run.is_last else []

    def _score(self, run: Prefill) -> list[Event]:
        request_id, scoring = run.request.request_id, self._scorings[run.request.request_id]
        logits = self._model.extend(run.row, run.request.tokens[run.start : run.end], run.start, positions=run.end - run.start)
        scoring.take(run.start, logits)
        self._scheduler.ran(run)
        if not run.is_last:
            return []
        del self._scorings[request_id]
        return [(request_id, scoring.scored())]

    def _decode(self, run: Decode, now_seconds: float) -> list[Event]:
        answers = [self._answers[request_id] for request_id in run.request_ids]
        guess = answers[0].guess() if self._scheduler.is_one_alone else []
        if guess:
            return self._check_guess(run, guess, now_seconds)
        logits = self._model.decode([answer.last_token for answer in answers], run.lengths)
        self._scheduler.ran(run)
        return self._choose(run.request_ids, logits, now_seconds)

    def _check_guess(self, run: Decode, guess: Sequence[int], now_seconds: float) -> list[Event]:
        """Runs the model over the latest token and a guess of what follows; keeps what it would have said itself, and its next token."""
        request_id = run.request_ids[0]
        answer = self._answers[request_id]
        logits = self._model.extend(0, [answer.last_token, *guess], run.lengths[0], positions=1 + len(guess))
        items: list[Piece | Finished] = []
        right = 0
        for position in range(1 + len(guess)):
            items += answer.take(logits[position])
            if isinstance(items[-1], Finished) or position == len(guess) or answer.last_token != guess[position]:
                break
            right += 1
        answer.judge_guess(len(guess), right)
        self._scheduler.ran(run, decoded=1 + right)
        return self._told(request_id, items, now_seconds)

    def release_idle_rows(self) -> None:
        """Gives memory back that no request and no prefix needs."""
        self._apply(self._scheduler.release_idle_rows())

    def _apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, Copy):
                self._model.copy(change.source, change.target, change.start, change.end)
            else:
                self._model.release(change.row)

    def _choose(self, request_ids: Sequence[int], logits: Logits, now_seconds: float) -> list[Event]:
        events: list[Event] = []
        for request_id, row in zip(request_ids, logits, strict=True):
            events += self._told(request_id, self._answers[request_id].take(row), now_seconds)
        return events

    def _told(self, request_id: int, items: Sequence[Piece | Finished], now_seconds: float) -> list[Event]:
        if isinstance(items[-1], Finished):
            del self._answers[request_id]
            self._scheduler.finish(request_id, now_seconds)
        return [(request_id, item) for item in items]
