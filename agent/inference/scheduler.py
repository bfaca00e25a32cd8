"""Decides what the model runs next. Pure: no model, no clock, no threads; the property tests drive it with a fake model.

Rows 0..n-1 of the cache hold the n sequences that decode, so that a decoding run covers exactly them. A newcomer is prefilled in row n,
in pieces, with a decoding run after each. Whoever leaves is replaced by the last row. Rows behind the slots hold kept prefixes.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from agent.inference.prefixes import Copy, PrefixStore
from agent.inference.settings import EngineSettings
from agent.inference.waiting import Request, WaitingRoom
from contract.errors import Busy, Reason

FIRST_GUESS_SECONDS = 5
"""How long to wait for a place, as long as no two answers have been finished."""


@dataclass(frozen=True, slots=True)
class Release:
    """Give the memory of a row back; nothing in it is needed."""

    row: int


@dataclass(frozen=True, slots=True)
class Prefill:
    """Feed the tokens start..end-1 of a request's prompt to a row."""

    request: Request
    row: int
    start: int
    end: int

    @property
    def is_last(self) -> bool:
        """Whether the prompt is complete after it, so that the answer's first token can be chosen."""
        return self.end == len(self.request.tokens)


@dataclass(frozen=True, slots=True)
class Decode:
    """Feed each row's latest token; row i belongs to request_ids[i] and holds lengths[i] tokens."""

    request_ids: tuple[int, ...]
    lengths: tuple[int, ...]


Change = Copy | Release
Run = Prefill | Decode


class Scheduler:
    """The state: who waits, who is being prefilled, who decodes.

    Use: `next_run`, apply the changes in their order, execute the run, call `ran`; then `finish` whoever is done.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._waiting = WaitingRoom()
        self._prefixes = PrefixStore(range(settings.slots, settings.slots + settings.prefix_rows), settings.prefix_tokens)
        self._decoding: list[Request] = []
        self._lengths: list[int] = []
        self._filling: Prefill | None = None
        self._changes: list[Change] = []
        self._decode_is_due = False
        self._used_rows: set[int] = set()
        self._finish_times: deque[float] = deque(maxlen=16)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to run."""
        return not (self._decoding or self._filling or self._waiting)

    @property
    def is_one_alone(self) -> bool:
        """Whether a single sequence decodes, and nobody waits for the model meanwhile."""
        return len(self._decoding) == 1 and not (self._filling or self._waiting)

    @property
    def decoding(self) -> Sequence[Request]:
        """The requests of the rows from 0 on."""
        return tuple(self._decoding)

    @property
    def kept_prefixes(self) -> dict[int, tuple[int, ...]]:
        """The tokens that the rows behind the slots hold."""
        return self._prefixes.kept

    def submit(self, request: Request) -> None:
        """Queues a request.

        Raises:
            Busy: QUEUE_FULL, with about how long to wait.
        """
        free_slots = self._settings.slots - len(self._running())
        if len(self._waiting) >= self._settings.queue_size + free_slots:
            raise Busy(
                Reason.QUEUE_FULL, f"{len(self._waiting)} prompts are waiting already. Ask again in about {self._seconds_to_a_place()} s."
            )
        self._waiting.add(request)

    def expire(self, now_seconds: float) -> Sequence[int]:
        """Drops all requests whose deadline has passed; returns their ids."""
        late = [request.request_id for request in self._running() if request.is_late(now_seconds)]
        for request_id in late:
            self._leave(request_id)
        return [*late, *self._waiting.remove_late(now_seconds)]

    def cancel(self, request_id: int) -> None:
        """Drops a request, wherever it is; one that is not here is no error."""
        if not self._waiting.remove(request_id):
            self._leave(request_id)

    def finish(self, request_id: int, now_seconds: float) -> None:
        """Takes an answered request out."""
        self._finish_times.append(now_seconds)
        self._leave(request_id)

    def next_run(self) -> tuple[Sequence[Change], Run | None]:
        """Returns what to change in the cache, in this order, and then what to run; None where nobody needs anything."""
        run: Run | None = None
        if not (self._decode_is_due and self._decoding):
            run = self._next_piece()
        if run is None and self._decoding:
            run = Decode(tuple(request.request_id for request in self._decoding), tuple(self._lengths))
        changes, self._changes = self._changes, []
        return changes, run

    def ran(self, run: Run, decoded: int = 1) -> None:
        """Takes note that a run has been executed.

        Args:
            run: as `next_run` returned it.
            decoded: how many tokens each row holds more after a decoding run.
        """
        if isinstance(run, Decode):
            self._decode_is_due = False
            for row, request in enumerate(self._decoding):
                self._lengths[row] += decoded
                self._waiting.charge(request.client, decoded)
            return
        self._decode_is_due = True
        self._waiting.charge(run.request.client, run.end - run.start)
        self._filling = run
        if run.is_last and run.request.is_scored:
            self._filling = None
        elif run.is_last:
            self._join(run)

    def release_idle_rows(self) -> Sequence[Change]:
        """Returns the changes that give back the memory of slots, once nothing runs."""
        if not self.is_idle:
            return ()
        changes = [*self._changes, *(Release(row) for row in sorted(self._used_rows))]
        self._changes, self._used_rows = [], set()
        return changes

    def _running(self) -> list[Request]:
        return [*self._decoding, *([self._filling.request] if self._filling else [])]

    def _next_piece(self) -> Prefill | None:
        if self._filling is not None:
            return self._piece(self._filling.request, self._filling.row, self._filling.end)
        row = len(self._decoding)
        if row == self._settings.slots or (request := self._waiting.take()) is None:
            return None
        self._used_rows.add(row)
        source, length = (-1, 0) if request.is_scored else self._prefixes.find(request.tokens)
        # A run of a single token takes another path through attention and rounds differently: at least two are left to prefill.
        start = max(0, min(length, len(request.tokens) - 2))
        if start:
            self._changes.append(Copy(source, row, 0, start))
        self._filling = self._piece(request, row, start)
        return self._filling

    def _piece(self, request: Request, row: int, start: int) -> Prefill:
        size = self._settings.shared_piece_tokens if self._decoding else self._settings.prefill_piece_tokens
        if request.is_scored:
            size = min(size, self._settings.scored_piece_tokens)
        end = min(start + size, len(request.tokens))
        if len(request.tokens) - end == 1:
            end += 1
        return Prefill(request, row, start, end)

    def _join(self, piece: Prefill) -> None:
        """The prompt is in the cache: keep it as a prefix, and let the sequence decode."""
        copy, evicted = self._prefixes.keep(piece.request.tokens, piece.row)
        if copy:
            self._changes.append(copy)
        self._changes += [Release(row) for row in evicted]
        row = len(self._decoding)
        if row != piece.row:
            self._changes.append(Copy(piece.row, row, 0, piece.end))
        self._decoding.append(piece.request)
        self._lengths.append(piece.end)
        self._filling = None

    def _leave(self, request_id: int) -> None:
        if self._filling and self._filling.request.request_id == request_id:
            self._filling = None
            return
        for row, request in enumerate(self._decoding):
            if request.request_id == request_id:
                self._fill_gap(row)
                return

    def _fill_gap(self, row: int) -> None:
        last = len(self._decoding) - 1
        if row != last:
            self._changes.append(Copy(last, row, 0, self._lengths[last]))
            self._decoding[row], self._lengths[row] = self._decoding[last], self._lengths[last]
        self._decoding.pop()
        self._lengths.pop()

    def _seconds_to_a_place(self) -> int:
        times = self._finish_times
        if len(times) < 2:
            return FIRST_GUESS_SECONDS
        return max(1, math.ceil((times[-1] - times[0]) / (len(times) - 1)))
