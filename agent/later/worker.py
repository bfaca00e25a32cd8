"""Asks again for prompts whose answer was provisional: one at a time, when the hub is there, each a bounded number of times.

No live prompt waits for it: it uses no slot of the model, and one connection that is there already. Delays double between failures, with
the jitter of `agent.session`, so that a hub that is back is not asked for all of a fleet's prompts at once.
"""

import asyncio
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from agent.escalation import QUOTA_SPENT, EscalationFailed
from agent.later.prompts import LateAnswerer, LatePrompt
from agent.prompts import Answer
from agent.store.inbox import Wanted
from agent.store.outbox import Outbox, OutboxEntry
from agent.telemetry import Metrics
from contract.errors import SeawallError

_log = structlog.get_logger(__name__)

"""It is there again tomorrow, and the prompt may still be wanted then."""


@dataclass(frozen=True, slots=True)
class LateTimes:
    """When prompts are asked again.

    Args:
        first_seconds: the bound of the first delay.
        away_seconds: the longest bound while the hub cannot be reached: trying that sends nothing over the channel that is there anyway.
        failing_seconds: the longest bound while the hub is there and gives no answer.
        attempts: of one prompt, after which it is given up.
    """

    first_seconds: float = 4.0
    away_seconds: float = 15.0
    failing_seconds: float = 900.0
    attempts: int = 8


class Recipients(Protocol):
    """Whoever got the provisional answers."""

    async def want(self, late: LatePrompt) -> Wanted:
        """Says whether a better answer is wanted now."""
        ...

    async def give(self, late: LatePrompt, answer: Answer) -> None:
        """Gives it. When this returns it is on the disk."""
        ...


class LateWorker:
    """Gets better answers.

    Args:
        outbox: where the prompts wait.
        answerer: asks the hub.
        recipients: get the answers.
        metrics: counts what came of each prompt.
        clock: returns the time, UTC.
        randomness: for delays.
        times: when it is done.
    """

    def __init__(
        self,
        outbox: Outbox,
        answerer: LateAnswerer,
        recipients: Recipients,
        metrics: Metrics,
        clock: Callable[[], datetime],
        randomness: random.Random,
        times: LateTimes | None = None,
    ) -> None:
        self._outbox = outbox
        self._answerer = answerer
        self._recipients = recipients
        self._metrics = metrics
        self._clock = clock
        self._randomness = randomness
        self._times = times or LateTimes()
        self._last = 0
        self._times_away = 0
        self._failures = 0
        self.state = "none waits"

    async def run(self) -> None:
        """Goes on until cancelled."""
        while True:
            self._outbox.appended.clear()
            try:
                delay = await self.once()
            except (SeawallError, sqlite3.DatabaseError) as error:
                delay = self._failing()
                _log.error("better answers are put off", error=type(error).__name__, again_in_seconds=round(delay, 1))
            if delay is None:
                await self._outbox.appended.wait()
            else:
                await asyncio.sleep(delay)

    async def once(self) -> float | None:
        """Asks for the next prompt, if there is one. Returns after how many seconds to go on; None: when there is another one.

        Raises:
            SeawallError, sqlite3.DatabaseError: a store cannot be used.
        """
        self._metrics.followed_up("expired", await self._outbox.forget(self._now()))
        waiting = await self._outbox.count()
        self._tell(waiting)
        if not waiting:
            self._failures = 0
            return None
        try:
            await self._answerer.reach()
        except EscalationFailed as failure:
            self._tell(waiting, failure.why)
            self._times_away += 1
            return self._delay(self._times_away, self._times.away_seconds)
        self._times_away = 0
        entry = await self._outbox.next(self._last, self._now())
        if entry is None:  # all were looked at
            self._last = 0
            return self._delay(1, self._times.away_seconds)
        self._last = entry.sequence
        return await self._ask(entry, waiting)

    async def _ask(self, entry: OutboxEntry, waiting: int) -> float:
        late = LatePrompt.from_bytes(entry.content)
        wanted = Wanted.NO if late is None else await self._recipients.want(late)
        if late is None or wanted is Wanted.NO:
            return await self._end(entry, "unwanted")
        if wanted is Wanted.NOT_YET:
            return 0.0
        attempts = await self._outbox.begin(entry.entry_id)
        if not attempts:  # who asked was forgotten meanwhile
            return await self._end(entry, "unwanted")
        if attempts > self._times.attempts:  # the process has ended in the last one
            return await self._end(entry, "given-up")
        try:
            answer = await self._answerer.better(late)
        except EscalationFailed as failure:
            return await self._failed(entry, failure, attempts, waiting)
        self._failures = 0
        await self._recipients.give(late, answer)
        return await self._end(entry, "answered")

    async def _failed(self, entry: OutboxEntry, failure: EscalationFailed, attempts: int, waiting: int) -> float:
        if not (failure.is_passing or failure.why == QUOTA_SPENT):
            return await self._end(entry, failure.why)
        if attempts >= self._times.attempts:
            await self._end(entry, "given-up")
            waiting -= 1
        self._tell(waiting, failure.why)
        return self._failing()

    async def _end(self, entry: OutboxEntry, outcome: str) -> float:
        await self._outbox.done(entry.entry_id)
        self._metrics.followed_up(outcome)
        self._tell(await self._outbox.count())
        return 0.0

    def _failing(self) -> float:
        self._failures += 1
        return self._delay(self._failures, self._times.failing_seconds)

    def _delay(self, failures: int, longest_seconds: float) -> float:
        bound = min(longest_seconds, self._times.first_seconds * 2.0 ** min(failures - 1, 30))
        return bound * self._randomness.uniform(0.5, 1)

    def _tell(self, waiting: int, why: str = "") -> None:
        self._metrics.follow_ups_waiting.set(waiting)
        self.state = f"{waiting} wait" + (f": {why}" if why else "") if waiting else "none waits"

    def _now(self) -> float:
        return self._clock().timestamp()
