"""A circuit breaker for each provider: after failures in a row it is left alone for a while, then one prompt tries it."""

from asyncio import CancelledError
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import CLOSED, HALF_OPENED, OpenedState
from purgatory.service._async.circuitbreaker import AsyncCircuitBreaker

from hub.config import Limits
from hub.escalation.providers.base import ProviderFailed, ProviderRefused


class Circuits:
    """The breakers, by the providers' names.

    Args:
        limits: how many failures open one, and for how long.
    """

    def __init__(self, limits: Limits) -> None:
        self._factory = AsyncCircuitBreakerFactory(
            default_threshold=limits.breaker_failures,
            default_ttl=limits.breaker_seconds,
            exclude=[ProviderRefused, CancelledError, GeneratorExit],
        )
        self._breakers: dict[str, AsyncCircuitBreaker] = {}

    def open_ones(self) -> dict[str, bool]:
        """Returns, by provider, whether it is cut off, or has not proved itself since. Those that were never asked are not there."""
        return {name: breaker.context.state != CLOSED for name, breaker in list(self._breakers.items())}

    @asynccontextmanager
    async def closed(self, name: str) -> AsyncIterator[None]:
        """Runs what asks the provider, and learns from how it ends.

        Raises:
            ProviderFailed: `circuit_open`.
        """
        breaker = self._breakers[name] = await self._factory.get_breaker(name)
        if breaker.context.state == HALF_OPENED:  # the library would let everybody try at once
            raise ProviderFailed("circuit_open")
        try:
            async with breaker:
                yield
        except OpenedState as error:
            error.__traceback__ = None  # the library raises one object again and again, and it would collect every caller's frames
            raise ProviderFailed("circuit_open") from None
