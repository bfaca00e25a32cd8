"""A real broker for tests, which can be killed and brought back."""

import socket
import subprocess
import time
from pathlib import Path

from tests.fakes.tls import free_port
from tour.broker import find_mosquitto


class Mosquitto:
    """Mosquitto on a free port of loopback, with its data in a folder. Not started yet.

    Args:
        folder: for its configuration, data and log.
        settings: further lines of its configuration; by default anybody may do anything.
    """

    def __init__(self, folder: Path, settings: str = "allow_anonymous true") -> None:
        self.port = free_port()
        self._log = folder / "mosquitto.log"
        self._configuration = folder / "mosquitto.conf"
        self._configuration.write_text(
            f"listener {self.port} 127.0.0.1\nset_tcp_nodelay true\nuser root\n"
            f"persistence true\npersistence_location {folder}/\n{settings}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and waits until it listens."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([find_mosquitto() or "mosquitto", "-c", self._configuration], stdout=log, stderr=log)
        while not _listens(self.port):
            if self._process.poll() is not None:
                raise RuntimeError(self._log.read_text())
            time.sleep(0.01)

    def stop(self, kill: bool = False) -> None:
        """Ends it; killed, it forgets its sessions."""
        if self._process is not None:
            (self._process.kill if kill else self._process.terminate)()
            self._process.wait()
            self._process = None


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
