"""Keeps the certificate fresh: renewed at two thirds of its life, or when the hub changes its CA; recovered where it is taken no more."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from agent.hub_link import HubLink
from agent.identity.authorities import ToldAuthorities, goes_with
from agent.identity.files import Identity, IdentityFolder
from agent.identity.handshake import is_hung_up_on
from agent.identity.renewal import recover, renew
from contract.errors import SeawallError

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RotationTimes:
    """When it is done.

    Args:
        share: of the certificate's life, after which it is renewed.
        jitter: the share of the life by which agents differ, so that those that were enrolled together are not renewed together.
        longest_look: the clock is looked at so often at least, seconds: it may be set, and a sleeping device wakes late.
        first_delay: the bound of the delay after a failure, seconds; it doubles, and delays are drawn evenly from 0 to it.
        longest_delay: where it stops doubling, seconds.
        least_pause: between a success and the next try, seconds, whatever the clock says; up to half more, by chance.
        spread: within which all agents renew when the hub changes its CA, seconds.
    """

    share: float = 2 / 3
    jitter: float = 0.05
    longest_look: float = 600.0
    first_delay: float = 10.0
    longest_delay: float = 600.0
    least_pause: float = 600.0
    spread: float = 300.0


class Rotation:
    """Renews the certificate of a running agent; calls go on over the old one until they end.

    Args:
        link: to the hub; shows the new certificate from then on.
        folder: where the identity is written before it is used.
        clock: returns the time, UTC.
        randomness: for jitter.
        told: what the hub says of its CAs.
        times: when it is done.
    """

    def __init__(
        self,
        link: HubLink,
        folder: IdentityFolder,
        clock: Callable[[], datetime],
        randomness: random.Random,
        told: ToldAuthorities,
        times: RotationTimes | None = None,
    ) -> None:
        self._link = link
        self._folder = folder
        self._clock = clock
        self._randomness = randomness
        self._told = told
        self._followed: tuple[str, ...] = ()
        self._next_look = datetime.min.replace(tzinfo=UTC)
        self._times = times or RotationTimes()
        self.trouble = ""

    async def run(self) -> None:
        """Goes on until cancelled."""
        due = due_time(self._link.identity, self._times, self._randomness)
        while True:
            changed, left = self._told.changed, (due - self._clock()).total_seconds()
            if self._must_follow() or await self._is_refused():
                due = min(due, self._clock() + timedelta(seconds=self._randomness.uniform(0, self._times.spread)))
            elif left > 0:
                await _wait(changed, min(left, self._times.longest_look))
            else:
                await self._replace()
                due = self._next_due()

    def _must_follow(self) -> bool:
        """Says, once for each change of the hub's CAs, whether it calls for a new certificate."""
        told, before = self._told.key_hashes, self._followed
        self._followed = told
        return told != before and not goes_with(self._link.identity, told)

    async def _is_refused(self) -> bool:
        """Says, where there is no session, whether that is because of the certificate: looks for itself, but not too often."""
        now = self._clock()
        if not self._told.take_doubt() or now < self._next_look:
            return False
        self._next_look = now + timedelta(seconds=self._times.longest_look)
        return await asyncio.to_thread(is_hung_up_on, self._link.identity)

    def _next_due(self) -> datetime:
        """Like due_time, but never before half of what is left: certificates are dated back, and a short one would be due at once.

        Nor at once where this device's clock is so far ahead that each certificate has expired when it comes.
        """
        identity, now = self._link.identity, self._clock()
        pause = timedelta(seconds=self._randomness.uniform(1, 1.5) * self._times.least_pause)
        return max(due_time(identity, self._times, self._randomness), now + (identity.expire_time - now) / 2, now + pause)

    async def _replace(self) -> None:
        """Tries until there is a new certificate."""
        bound = self._times.first_delay
        while True:
            try:
                await self.replace_once()
            except SeawallError as error:
                self.trouble = f"{error.reason}: {error.message}"
                delay = self._randomness.uniform(0, bound)
                _log.warning("no new certificate", reason=error.reason, advice=error.message, again_in_seconds=round(delay))
                bound = min(2 * bound, self._times.longest_delay)
                await asyncio.sleep(delay)
            else:
                return

    async def replace_once(self) -> None:
        """Gets a new certificate, writes it, and shows it from then on.

        Raises:
            SeawallError: there is none; the old one stays.
        """
        old, key = self._link.identity, await asyncio.to_thread(self._folder.next_key)
        if self._clock() >= old.expire_time or await asyncio.to_thread(is_hung_up_on, old):
            new = await recover(old, key)
        else:
            with self._link.use() as channel:
                new = await renew(old, key, channel)
        await asyncio.to_thread(self._folder.renew, new)
        self._link.replace(new)
        self.trouble = ""
        _log.info("new certificate", expires=new.expire_time.isoformat())


def due_time(identity: Identity, times: RotationTimes, randomness: random.Random) -> datetime:
    """Returns when a certificate is to be replaced."""
    certificate = identity.certificate
    life: timedelta = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_before_utc + life * (times.share + randomness.uniform(-times.jitter, times.jitter))


async def _wait(changed: asyncio.Event, seconds: float) -> None:
    """Not by `wait_for`, which before Python 3.12 loses a cancellation that comes together with the event."""
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        return
