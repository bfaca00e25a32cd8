"""Sends the hub the receipts that policy lets leave the site. Beside the answers: whatever fails here delays none.

A receipt waits in the store until the hub has said that it has it, and is sent again until then; the hub writes it once. It waits for no
longer than receipts are kept.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from agent.audit_client import MOST_RECEIPTS, record
from agent.hub_link import HubLink
from agent.store.audit import ReceiptStore
from contract.errors import SeawallError

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RecorderTimes:
    """How often the hub is called, in seconds.

    Args:
        seconds: after a call, so that receipts that come together go together.
        again: after one that failed.
        jitter: the share by which agents differ, so that a fleet does not call at once.
    """

    seconds: float = 10.0
    again: float = 60.0
    jitter: float = 0.2


class Recorder:
    """Sends receipts.

    Args:
        receipts: where they are kept.
        link: to the hub.
        randomness: for jitter.
        times: how often.
        sleep: waits.
    """

    def __init__(
        self,
        receipts: ReceiptStore,
        link: HubLink,
        randomness: random.Random,
        times: RecorderTimes | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._receipts = receipts
        self._link = link
        self._randomness = randomness
        self._times = times or RecorderTimes()
        self._sleep = sleep
        self.trouble = ""
        """Why receipts that may leave are still here; empty: none are."""

    async def run(self) -> None:
        """Goes on until cancelled."""
        while True:
            changed = self._receipts.changed  # before they are read, so that none that comes meanwhile is missed
            pause_seconds = await self._round()
            if pause_seconds:
                await self._sleep(pause_seconds * self._randomness.uniform(1 - self._times.jitter, 1 + self._times.jitter))
            if not self.trouble:
                await changed.wait()

    async def send(self) -> int:
        """Sends all that may leave, some at a time. Returns how many that were.

        Raises:
            SeawallError: the hub does not take it; what it has not taken is sent again.
        """
        sent = 0
        while receipts := await self._receipts.unrecorded(MOST_RECEIPTS):
            with self._link.use() as channel:
                await record(channel, self._link.identity, receipts)
            await self._receipts.recorded(receipts)
            sent += len(receipts)
        return sent

    async def _round(self) -> float:
        """Sends what there is. Returns for how long the hub is to be left alone; 0: it was not called."""
        try:
            sent = await self.send()
        except SeawallError as error:
            self.trouble = f"{error.reason}: {error.message}"
            _log.warning("receipts that may leave the site are still here", reason=error.reason, advice=error.message)
            return self._times.again
        self.trouble = ""
        return self._times.seconds if sent else 0
