"""The hub as its users run it: a process of its own, started and ended by the test."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from hub.clock import utc_now
from hub.folder import DataFolder
from hub.operator import connect
from tests.fakes.commands import run_command

ANY_PORT = {f"SEAWALL_HUB_LISTENERS__{name}": "127.0.0.1:0" for name in ("ENROLLMENT", "MTLS", "METRICS")}
WAIT_SECONDS = 60
"""Far more than anything here takes, on a machine that does much else."""


def run_hub(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return run_command("hub", *arguments, seconds=WAIT_SECONDS, **{"COLUMNS": "200", **variables})


class HubProcess:
    """`seawall-hub serve` on free ports.

    Args:
        data: the data folder, made by `init`.
        variables: of its environment.
    """

    def __init__(self, data: Path, variables: Mapping[str, str]) -> None:
        self.data = data
        self.log = data.with_suffix(".log")
        self.greeting: list[str] = []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hub", "serve", "--data", str(data)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **ANY_PORT, **variables},
            )
        self._read_greeting()
        self.enrollment, self.mtls, self.metrics = re.findall(r"127\.0\.0\.1:\d+", "\n".join(self.greeting))[:3]

    def _read_greeting(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.greeting.append(line.rstrip())
            if line.startswith("Ready"):
                return
        raise AssertionError(f"the hub did not start: {self.log.read_text()}")

    def join_token(self) -> str:
        """A token, asked for without the cost of a command."""
        with connect(DataFolder(self.data), self.mtls, utc_now()) as operator:
            return operator.create_join_token(timedelta(hours=1)).token

    def agents(self) -> list[str]:
        """The names of those that are enrolled."""
        with connect(DataFolder(self.data), self.mtls, utc_now()) as operator:
            return [agent.name for agent in operator.list_agents()]

    def operate(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs one of the operator's commands against it."""
        return run_hub(*arguments, "--data", str(self.data), SEAWALL_HUB_LISTENERS__MTLS=self.mtls)

    def end(self, number: signal.Signals) -> int:
        """Sends a signal and waits. Returns the exit status."""
        self._process.send_signal(number)
        try:
            return self._process.wait(WAIT_SECONDS)
        finally:
            self.close()

    def close(self) -> None:
        """Ends it, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def serving(data: Path, **variables: str) -> Iterator[HubProcess]:
    """Runs a hub until the block ends."""
    process = HubProcess(data, variables)
    try:
        yield process
    finally:
        process.close()
