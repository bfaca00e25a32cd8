"""The child that cohorts are in: begun with the first of them, ended when the last has left, and another one in place of one that died."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from cryptography import x509

from hub.clock import Clock
from hub.config import split_address
from hub.fleet.certificates import certificate_der
from hub.learning.carrier import Carrier, Endpoint, carrier
from hub.learning.certificate import round_certificate
from hub.listeners import cannot_listen


@dataclass(frozen=True, slots=True)
class Site:
    """Where rounds are played.

    Args:
        listen: `host:port` of the Fleet API.
        names: returns those that agents reach this hub by.
    """

    listen: str
    names: Callable[[], x509.SubjectAlternativeName]


@dataclass(slots=True)
class Running:
    """A child that runs.

    Args:
        carrier: it.
        port: where it listens.
        certificate: that it shows, DER.
        ending: ends it.
        cohorts: how many are in it.
    """

    carrier: Carrier
    port: int
    certificate: bytes
    ending: AsyncExitStack
    cohorts: int = 0


class Carriers:
    """The one child that is there, or none.

    Args:
        site: where it listens.
        clock: the time, in UTC.
    """

    def __init__(self, site: Site, clock: Clock) -> None:
        self._site = site
        self._clock = clock
        self._changing = asyncio.Lock()
        self._running: Running | None = None

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[Running]:
        """Has one more cohort in the child until the block ends.

        Raises:
            NotPossibleNow: CONFIG_INVALID, the address is taken.
            Unavailable: HUB_UNAVAILABLE, Flower does not begin.
        """
        async with self._changing:
            running = self._running = await self._usable()
            running.cohorts += 1
        try:
            yield running
        finally:
            running.cohorts -= 1
            await self._leave(running)

    async def _leave(self, running: Running) -> None:
        """Whoever has entered meanwhile goes on in it; who enters later waits until its port is free."""
        async with self._changing:
            if running.cohorts == 0:
                self._running = None if self._running is running else self._running
                await running.ending.aclose()

    async def _usable(self) -> Running:
        running = self._running
        if running is not None and not running.carrier.has_ended:
            return running
        if running is not None:
            await running.carrier.stopped()
        return await self._begin()

    async def _begin(self) -> Running:
        key, certificate = round_certificate(self._site.names(), self._clock())
        der, ending = certificate_der(x509.load_pem_x509_certificate(certificate)), AsyncExitStack()
        listener = _listen(self._site.listen)
        port = listener.getsockname()[1]
        return Running(await ending.enter_async_context(carrier(Endpoint(listener, certificate, key))), port, der, ending)


def _listen(address: str) -> socket.socket:
    host, port = split_address(address)
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen()
    except OSError as error:
        if listener is not None:
            listener.close()
        raise cannot_listen(address) from error
    return listener
