"""A real PostgreSQL on loopback, in a folder of its own, with a fresh database for whoever asks.

`python -m tests.fakes.postgres` installs PostgreSQL where that can be done without a question.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.fakes.tls import free_port
from tour.broker import apt_get

SUPERUSER = "seawall"
PASSWORD = "not-a-secret"
START_SECONDS = 60
HOW_TO_GET_IT = "PostgreSQL is not installed: apt-get install postgresql"

_SETTINGS = {"fsync": "off", "full_page_writes": "off", "unix_socket_directories": "", "max_connections": "200"}
"""The machine does not lose its power during a test."""


def find_programs() -> Path | None:
    """Returns the folder of PostgreSQL's newest programs, or None; Debian keeps them where no PATH looks."""
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return folders[-1].parent if folders else None


class Postgres:
    """One that runs.

    Args:
        port: on loopback.
    """

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, database: str) -> str:
        """As `database_url` has it."""
        return f"postgresql://{SUPERUSER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A connection of the superuser, each statement on its own."""
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=5)

    def create_database(self) -> str:
        """Makes an empty one. Returns its URL."""
        name = f"test_{uuid.uuid4().hex}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def hang_up(self, url: str) -> None:
        """Ends all connections to a database, as a restart would."""
        with self.connect() as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [url.rpartition("/")[2]])


@contextmanager
def running_postgres(programs: Path) -> Iterator[Postgres]:
    """Runs one until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="seawall-postgres-"))
    try:
        (folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            _give_away(folder)
        _run(
            programs / "initdb", "--no-sync", "-A", "scram-sha-256", "-U", SUPERUSER, "--pwfile", folder / "password", "-D", folder / "data"
        )
        port = free_port()
        settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            command: list[str | Path] = [programs / "postgres", "-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), *settings]
            process: subprocess.Popen[bytes] = subprocess.Popen(command, stdout=log, stderr=log, **_identity())
        try:
            _await_start(process, port, folder / "log")
            yield Postgres(port)
        finally:
            process.terminate()
            process.send_signal(3)  # SIGQUIT: at once, whoever is still connected
            process.wait()
    finally:
        shutil.rmtree(folder)


def _await_start(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            Postgres(port).connect().close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"PostgreSQL did not start: {log.read_text()}") from None
            time.sleep(0.05)
        else:
            return


def _identity() -> dict[str, Any]:
    """As whom it runs: it refuses root."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


def _give_away(folder: Path) -> None:
    owner = pwd.getpwnam("postgres")
    for path in (folder, *folder.iterdir()):
        os.chown(path, owner.pw_uid, owner.pw_gid)


def _run(*command: str | Path) -> None:
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd="/", env={**os.environ, "LC_ALL": "C.UTF-8"}, **_identity()
    )
    assert result.returncode == 0, result.stderr


def install() -> Path | None:
    """Installs PostgreSQL with apt where that can be done without a question; returns the folder of its programs, or None."""
    apt = apt_get()
    if find_programs() is None and apt is not None:
        print("Installing PostgreSQL with apt …", flush=True)
        for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "postgresql"]):
            subprocess.run([*apt, *words], check=False, stdout=subprocess.DEVNULL)
    return find_programs()


if __name__ == "__main__" and install() is None:
    print(f"{HOW_TO_GET_IT}. The tests that need it are skipped.", file=sys.stderr)
