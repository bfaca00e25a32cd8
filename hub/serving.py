"""`seawall-hub serve`: from the start to the signal that ends it."""

import asyncio
import gc
import resource
import signal
from collections.abc import Callable, Mapping

from hub.config import Settings, split_address
from hub.folder import DataFolder
from hub.probe import Probe
from hub.server import Hub
from hub.systemd import Systemd, notify, watchdog

COLLECTOR_THRESHOLDS = (20_000, 5, 10)
"""Of Python's garbage collector, far above its defaults: a session is about 80 objects that live for days and leave no cycle behind, so
that looking through all of them finds nothing, and stops the hub for the longer the more there are."""


async def serve_until_stopped(
    folder: DataFolder, settings: Settings, api_keys: Mapping[str, str], say: Callable[[str], None], systemd: Systemd
) -> None:
    """Runs a hub until SIGINT or SIGTERM.

    Args:
        folder: with its keys.
        settings: as loaded.
        api_keys: of the providers, by name.
        say: prints a line.
        systemd: what it wants to be told.

    Raises:
        SeawallError: it cannot start.
    """
    _allow_files()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with Hub(folder, settings, api_keys) as hub:
        _spare_collector()
        for line in _greeting(hub, settings):
            say(line)
        notify("READY=1", systemd.socket)
        pinging = asyncio.create_task(watchdog(Probe(hub, folder, settings), systemd.watchdog_seconds, systemd.socket))
        await stopped.wait()
        say("Stopping.")
        notify("STOPPING=1", systemd.socket)
        pinging.cancel()


def _allow_files() -> None:
    """Lets this process open as many files as it ever may: each session takes one, and a shell gives a thousand."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _spare_collector() -> None:
    """Has the garbage collector look less often, and never again at what was loaded at the start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def _greeting(hub: Hub, settings: Settings) -> list[str]:
    listeners = settings.listeners
    lines = [
        f"Seawall hub of {settings.trust_domain}",
        f"  enrolment  {_with_port(listeners.enrollment, hub.enrollment_port)}  (TLS)",
        f"  agents     {_with_port(listeners.mtls, hub.mtls_port)}  (mutual TLS)",
    ]
    if listeners.metrics:
        lines.append(f"  metrics    http://{_with_port(listeners.metrics, hub.metrics_port)}/metrics")
    lines += [f"  provider   {item.name}: {item.model} at {item.url} ({item.tier}, {item.region})" for item in settings.providers]
    if not settings.providers:
        lines.append("  provider   none: nothing can be escalated until hub.toml names one")
    return [*lines, "Ready. Ctrl-C stops it."]


def _with_port(address: str, port: int) -> str:
    """The address with the port that was had, where any was asked for."""
    host, _ = split_address(address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
