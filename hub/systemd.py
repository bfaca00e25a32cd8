"""What a service tells systemd (sd_notify(3)). Elsewhere it does nothing."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Self

import structlog

from contract.errors import SeawallError

_log = structlog.get_logger(__name__)

WATCHDOG_SHARE = 1 / 6
"""Of the watchdog's time, between two looks: a store that is away for a moment is no reason to begin anew."""


@dataclass(frozen=True, slots=True)
class Systemd:
    """What a service is told of systemd.

    Args:
        socket: $NOTIFY_SOCKET; None: it does not listen.
        watchdog_seconds: it ends a service that has not pinged for so long; 0: never.
    """

    socket: str | None
    watchdog_seconds: float

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Reads it from `os.environ`."""
        return cls(environment.get("NOTIFY_SOCKET"), int(environment.get("WATCHDOG_USEC") or 0) / 1e6)


def notify(state: str, address: str | None) -> None:
    """Sends a state.

    Args:
        state: such as `READY=1`.
        address: $NOTIFY_SOCKET; None: nobody listens.
    """
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)


async def watchdog(probe: Callable[[], Awaitable[None]], seconds: float, address: str | None) -> None:
    """Pings systemd's watchdog whenever all is found well, until it is cancelled; ends at once where none is set.

    Args:
        probe: raises where something is not well; one that takes too long is not well either.
        seconds: after which systemd ends a service that has not pinged; 0: never.
        address: $NOTIFY_SOCKET; None: nobody listens.
    """
    interval = seconds * WATCHDOG_SHARE
    while interval > 0:
        try:
            async with asyncio.timeout(interval):
                await probe()
            notify("WATCHDOG=1", address)
        except (SeawallError, OSError) as error:  # TLS's errors and a time-out are OSErrors too
            _log.warning("watchdog not pinged", error=type(error).__name__, reason=str(error))
        await asyncio.sleep(interval)
