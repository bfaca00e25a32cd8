"""The processes of `benchmarks/fleet.py`: the hub, the echo beside it, and those that hold the simulated agents."""

import asyncio
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from agent.identity.files import Identity
from benchmarks.fleet_agents import Load

SPARE_FILES = 300
"""Open files of a process beside its streams: libraries, the store, pipes."""


def allow_files(streams: int) -> None:
    """Raises this process's limit of open files, and so that of those it starts, to the most that is allowed.

    Raises:
        SystemExit: that is too low for so many streams.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most != resource.RLIM_INFINITY and most < streams + SPARE_FILES:
        raise SystemExit(
            f"{streams} streams take {streams + SPARE_FILES} open files in one process, and this machine allows {most}. "
            f"Raise the hard limit (ulimit -Hn, or LimitNOFILE), or ask for at most --agents {most - SPARE_FILES}."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class ServerProcess:
    """A server: the hub or the echo. It prints where it listens, then `Ready`.

    Args:
        command: behind `python -m`.
        variables: of its environment.
        log: where its standard error goes.
    """

    def __init__(self, command: Sequence[str], variables: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=file, text=True, env={**os.environ, **variables}
            )
        self.address = self._read_address(log)

    def _read_address(self, log: Path) -> str:
        found = ""
        for line in self._process.stdout or ():
            if match := re.search(r"(127\.0\.0\.1:\d+) +\(mutual TLS\)", line):
                found = match[1]
            if line.startswith("Ready"):
                return found
        raise SystemExit(f"The server did not start:\n{log.read_text()[-2000:]}")

    def cpu_seconds(self) -> float:
        """Of all its threads since it began. As in its /proc/PID/stat, but not in whole hundredths: see clock_getcpuclockid(3)."""
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def resident_bytes(self) -> int:
        """Of its memory."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * resource.getpagesize()

    def peak_bytes(self) -> int:
        """Of its memory, the most that it ever had."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self._process.pid}/status").read_text())
        return int(found[1]) * 1024 if found else 0

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Sends a signal, and waits."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@dataclass(frozen=True)
class Child:
    """A process that holds agents."""

    process: Any
    connection: Connection


class Loads:
    """All simulated agents, spread over a few processes.

    Args:
        identities: one an agent.
        processes: how many.
    """

    def __init__(self, identities: Sequence[Identity], processes: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._children: list[Child] = []
        for number in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=_hold, args=(theirs, identities[number::processes], number), daemon=True)
            process.start()
            self._children.append(Child(process, ours))

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """Calls a method of every `Load`; returns what each returns."""
        for child in self._children:
            child.connection.send((method, arguments))
        return [child.connection.recv() for child in self._children]

    def close(self) -> None:
        """Ends the processes."""
        for child in self._children:
            child.process.kill()
        for child in self._children:
            child.process.join()
            child.connection.close()


def _hold(connection: Connection, identities: Sequence[Identity], number: int) -> None:
    asyncio.run(_answer(connection, Load(identities, number)))


async def _answer(connection: Connection, load: Load) -> None:
    while True:
        try:
            method, arguments = await asyncio.to_thread(connection.recv)
        except EOFError:
            return
        result = await getattr(load, method)(*arguments)
        await asyncio.to_thread(connection.send, result)


def now() -> float:
    """The clock that all processes of this machine share."""
    return time.monotonic()
