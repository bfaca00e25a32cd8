"""A broker for the try and the tests: Mosquitto, installed where that is possible; else amqtt, which speaks MQTT 3.1.1 only.

`python3 -m tour.broker` installs Mosquitto. This module needs nothing but the standard library, so that it runs before the venv is made.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_SBIN = "/usr/sbin:/usr/local/sbin"
_PACKAGES = ("mosquitto", "mosquitto-clients")


def find_mosquitto() -> str | None:
    """Returns the path of Mosquitto, or None; Debian keeps it where a user's PATH does not look."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:{_SBIN}")


def install_mosquitto() -> str | None:
    """Installs Mosquitto and its clients with apt where that can be done without a question; returns its path, or None."""
    found = find_mosquitto()
    if found is not None and shutil.which("mosquitto_pub"):
        return found
    apt = apt_get()
    if apt is None:
        return found
    print("Installing Mosquitto with apt …", flush=True)
    subprocess.run([*apt, "update", "-qq"], check=False, stdout=subprocess.DEVNULL)
    subprocess.run([*apt, "install", "-y", "-qq", "--no-install-recommends", *_PACKAGES], check=False, stdout=subprocess.DEVNULL)
    return find_mosquitto()


def apt_get() -> list[str] | None:
    """Returns the start of an apt-get command line that asks nothing, or None."""
    if shutil.which("apt-get") is None:
        return None
    command = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    if os.geteuid() == 0:
        return command
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True).returncode == 0:
        return ["sudo", "-n", *command]
    return None


def broker_command(mosquitto: str, folder: Path, port: int) -> list[str]:
    """Writes a configuration for a loopback broker and returns the command that runs it."""
    configuration = folder / "mosquitto.conf"
    configuration.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\n")
    return [mosquitto, "-c", str(configuration)]


def amqtt_command(root: Path, folder: Path, port: int) -> list[str]:
    """Installs amqtt in a venv of its own (its command line pins libraries that ours needs newer) and returns the command that runs it.

    Args:
        root: the repository.
        folder: for the configuration.
        port: on loopback.
    """
    venv = root / ".venv-broker"
    if not (venv / "bin" / "amqtt").exists():
        print("No Mosquitto here, and no right to install it: taking amqtt, an MQTT 3.1.1 broker in Python.", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        lock = root / "requirements" / "broker.txt"
        subprocess.run([str(venv / "bin" / "pip"), "install", "--quiet", "--require-hashes", "-r", str(lock)], check=True)
    configuration = folder / "amqtt.yaml"
    configuration.write_text(
        f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{port}\n"
        "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
    )
    return [str(venv / "bin" / "amqtt"), "-c", str(configuration)]


if __name__ == "__main__":
    if install_mosquitto() is None:
        sys.exit("Mosquitto is not installed: apt-get install mosquitto mosquitto-clients")
