"""What systemd is told: sd_notify(3) is one datagram to the socket that $NOTIFY_SOCKET names. And what the kernel is told."""

import asyncio
import ctypes
import os
import socket

import structlog

_log = structlog.get_logger(__name__)

_WATCHDOG_SHARE = 0.5
"""sd_watchdog_enabled(3) advises to ping at half the interval."""


_PR_SET_DUMPABLE = 4  # linux/prctl.h


def supervised() -> bool:
    """Says whether a service manager waits for this process, and so would start it again."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def notify(state: str) -> None:
    """Tells systemd a state, such as `READY=1`; does nothing where nobody listens.

    Args:
        state: lines of sd_notify's protocol.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.connect("\0" + address[1:] if address.startswith("@") else address)
            sender.sendall(state.encode())
    except OSError as error:  # such as a variable inherited from a service that is gone: no reason to stop answering
        _log.warning("systemd cannot be told", state=state, error=str(error))


async def watchdog() -> None:
    """Pings systemd's watchdog for as long as the event loop turns; ends at once where none is set."""
    interval = int(os.environ.get("WATCHDOG_USEC") or 0) / 1_000_000
    while interval > 0:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval * _WATCHDOG_SHARE)


def give_memory_back() -> None:
    """Has the C library give back what is free of this process's memory, in each thread's arena: malloc_trim(3), where that is.

    By itself it keeps what a rare piece of work has needed at its height. It takes milliseconds.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in musl
    if trim is not None:
        trim(0)


def forbid_dumps() -> None:
    """Has the kernel write no dump of this process, whose memory holds prompts, also not to a program such as systemd-coredump.

    prctl(2): it also keeps other processes of this user from reading the memory. A resource limit does not bind a program that dumps
    are piped to, core(5).
    """
    if ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        _log.warning("dumps of the memory cannot be forbidden")
