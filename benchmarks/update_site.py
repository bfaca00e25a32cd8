"""The hub of `benchmarks/updates.py`: a real one, to which a ceremony was imported and to which versions are published.

Everything is done by the commands that a user types, but the agents are enrolled by the hub's own CA, in its own store.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from agent.identity.files import Identity
from benchmarks.fleet_processes import ServerProcess
from benchmarks.fleet_site import enroll_all

ANY_PORT = {f"SEAWALL_HUB_LISTENERS__{name}": "127.0.0.1:0" for name in ("ENROLLMENT", "MTLS", "METRICS")}


@dataclass(frozen=True)
class Site:
    """A running hub, and what reaches it.

    Args:
        hub: its process.
        folder: with everything in it.
        identities: of the agents.
    """

    hub: ServerProcess
    folder: Path
    identities: Sequence[Identity]

    @property
    def data(self) -> Path:
        """The hub's data folder."""
        return self.folder / "hub"

    @property
    def root(self) -> Path:
        """What agents trust from the beginning."""
        return self.folder / "ceremony" / "metadata" / "1.root.json"

    def publish(self, bundle: Path, name: str, version: str) -> None:
        """Publishes a folder as a version."""
        key = next((self.folder / "ceremony" / "keys").glob("models-*.pem"))
        options = ("--key", str(key), "--root", str(self.root), "--identity", str(self.folder / "publisher"), "--hub", self.hub.address)
        print(_run("models", "publish", str(bundle), "--name", name, "--version", version, *options).strip(), flush=True)


@contextmanager
def running_site(folder: Path, agents: int) -> Iterator[Site]:
    """Makes a hub and runs it until the block ends.

    Args:
        folder: empty.
        agents: that are enrolled.
    """
    data = folder / "hub"
    identities = enroll_all(data, agents)
    (folder / "hub.json").write_text(_run("hub", "trust", "request", "--data", str(data)))
    _run("models", "trust", "init", str(folder / "ceremony"), "--online-keys", str(folder / "hub.json"))
    hub = ServerProcess(["hub", "serve", "--data", str(data)], ANY_PORT, folder / "hub.log")
    try:
        where = {"SEAWALL_HUB_LISTENERS__MTLS": hub.address}
        _run("hub", "trust", "import", str(folder / "ceremony" / "metadata"), "--data", str(data), **where)
        _run("hub", "trust", "publisher", "benchmark", str(folder / "publisher"), "--data", str(data), **where)
        yield Site(hub, folder, [replace(identity, hub_address=hub.address) for identity in identities])
    finally:
        hub.end()


def _run(*command: str, **variables: str) -> str:
    """Runs one of our programs. Returns what it prints."""
    environment = {**os.environ, "SEAWALL_PASSPHRASE": "a passphrase for a benchmark", **variables}
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
