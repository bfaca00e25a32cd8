"""Child processes of the try: started with a log each, waited for until ready, ended in order."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType


class ProcessDied(Exception):
    """A child ended before it was ready."""


class Child:
    """One child process in a session of its own, so that Ctrl-C reaches only the tour, which ends the rest in order."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, env={**environment}
            )

    def wait_until(self, ready: Callable[[], bool], seconds: float = 60.0) -> None:
        """Waits until `ready` says so.

        Raises:
            ProcessDied: the child ended, or took too long; the message holds the end of its log.
        """
        end = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None or time.monotonic() > end:
                tail = self.log.read_text(errors="replace")[-2000:]
                raise ProcessDied(f"{self.name} did not come up. The end of {self.log}:\n{tail}")
            time.sleep(0.05)

    def end(self, seconds: float = 10.0) -> None:
        """Asks the child to end, and kills it if it does not."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Children:
    """The children of the try, ended in reverse order.

    Args:
        logs: folder of their logs.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._logs.mkdir(parents=True, exist_ok=True)
        self._children: list[Child] = []

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Child:
        """Starts a child; `environment` is added to this process's own."""
        child = Child(name, command, self._logs / f"{name}.log", {**os.environ, **(environment or {})})
        self._children.append(child)
        return child

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for child in reversed(self._children):
            child.end()


def listening(port: int) -> bool:
    """Says whether somebody listens on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def choose_port(wanted: int) -> int:
    """Returns the wanted loopback port, or a free one where that is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no loopback port is free")
