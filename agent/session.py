"""Keeps a session with the hub open, for ever.

The delay before the next try is drawn evenly from 0 to a bound that doubles (Brooker 2015, "Exponential Backoff And Jitter", full
jitter), so that a hub that was restarted is not stormed.
"""

import asyncio

import structlog

from agent.connection import Connection, SessionParts, first_to_end
from agent.hub_link import HubLink
from agent.hub_stream import Ended, HubStream
from agent.telemetry import Metrics
from contract.errors import SeawallError

_log = structlog.get_logger(__name__)

_CERTIFICATE_CHANGED = "certificate-changed"
_DOUBTFUL = ("unavailable", "certificate-invalid")
"""What a hub that does not take the certificate looks like, among other things."""

_REPLACED = "session-replaced"
"""Two devices with one identity would end each other's sessions as fast as they can, were this not counted as a failure."""


class Session:
    """Opens one session after the other.

    Args:
        link: to the hub.
        parts: what each session is held with.
        metrics: counts sessions.
    """

    def __init__(self, link: HubLink, parts: SessionParts, metrics: Metrics) -> None:
        self._link = link
        self._parts = parts
        self._metrics = metrics
        self._failures = 0
        self.state = "not asked yet"

    async def run(self) -> None:
        """Goes on until cancelled."""
        while True:
            changed = self._link.changed
            ended, lasted = await self._hold(changed)
            self._failures = 0 if lasted and ended.why != _REPLACED else self._failures + 1
            self.state = f"waiting: {ended.why}"
            self._metrics.session_ended(ended.why)
            if ended.why in _DOUBTFUL:
                self._parts.authorities.doubt()
            if ended.why != _CERTIFICATE_CHANGED:
                delay = ended.wait_seconds + self._parts.randomness.uniform(0, self._parts.times.delay_bound(self._failures))
                _log.info("no session with the hub", reason=ended.why, again_in_seconds=round(delay, 1))
                await _wait(changed, delay)

    async def _hold(self, changed: asyncio.Event) -> tuple[Ended, bool]:
        """Returns why the session has ended, and whether it was one that worked."""
        self.state = "connecting"
        with self._link.use() as channel:
            stream = HubStream(channel)
            connection = Connection(stream, self._parts)
            try:
                await first_to_end(self._converse(connection), _replaced(changed))
            except Ended as ended:
                return ended, connection.lasted
            except SeawallError as error:
                _log.error("the session cannot go on", reason=error.reason, advice=error.message)
                return Ended(error.reason.lower().replace("_", "-")), False
            finally:
                stream.cancel()
        return Ended("hub-ended"), connection.lasted

    async def _converse(self, connection: Connection) -> None:
        interval = await connection.greet()
        self.state = "open"
        self._metrics.session_opened()
        _log.info("session with the hub is open", generation=self._parts.desired.generation)
        await connection.hold(interval)


async def _replaced(changed: asyncio.Event) -> None:
    await changed.wait()
    raise Ended(_CERTIFICATE_CHANGED)


async def _wait(changed: asyncio.Event, seconds: float) -> None:
    """Waits, but not for longer than the certificate stays the same."""
    try:
        async with asyncio.timeout(seconds):  # `wait_for` loses a cancellation that comes together with the event, before Python 3.12
            await changed.wait()
    except TimeoutError:
        return
