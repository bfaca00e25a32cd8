"""A Debian of one's own: debootstrap makes it, systemd-nspawn boots it, with a real systemd and no network but its own loopback."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

SECONDS = 120.0
TOOLS = ("debootstrap", "systemd-nspawn", "nsenter")


def make_debian(folder: Path, packages: tuple[str, ...]) -> Path:
    """Makes a minimal Debian 12 and returns its folder."""
    missing = [tool for tool in TOOLS if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    assert not missing, f"{missing} not found: apt-get install debootstrap systemd-container"
    assert os.geteuid() == 0, "containers need root"
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", "bookworm", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (folder / "etc" / "hosts").write_text("127.0.0.1 localhost hub.example.org\n")
    return folder


class Machine:
    """A booted copy of a Debian. Used as a context manager."""

    def __init__(self, debian: Path, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["cp", "--archive", str(debian), str(folder)], check=True)

    def __enter__(self) -> Self:
        self.boot()
        return self

    def __exit__(self, *_: object) -> None:
        self.halt()

    def boot(self) -> None:
        """Starts it, and returns when systemd has."""
        command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--console=pipe", "--boot"]
        with self.folder.with_suffix(".console").open("wb") as console:
            self._nspawn = subprocess.Popen(
                [*command, f"--directory={self.folder}"], stdin=subprocess.DEVNULL, stdout=console, stderr=console
            )
        try:
            self.wait_for(lambda: self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded"))
        except BaseException:
            self.halt()
            raise

    def halt(self) -> None:
        """Stops it in order, else at once."""
        self.run("systemctl", "poweroff", check=False)
        try:
            self._nspawn.wait(60)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()

    def run(self, *command: str, check: bool = True, text: str = "") -> subprocess.CompletedProcess[str]:
        """Runs a command in it as root.

        Args:
            command: with its arguments.
            check: a failure is one of the test.
            text: for its standard input.
        """
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        if not children:
            return subprocess.CompletedProcess(command, 1, "", "not booted")
        enter = ["nsenter", f"--target={children[0]}", "--all", "--wdns=/", *command]
        done = subprocess.run(enter, check=False, capture_output=True, text=True, input=text, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def show(self, unit: str, what: str) -> str:
        """Returns a property of a unit."""
        return self.run("systemctl", "show", unit, f"--property={what}", "--value").stdout.strip()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Returns when a condition holds.

        Raises:
            TimeoutError: it does not.
        """
        deadline = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(0.2)
