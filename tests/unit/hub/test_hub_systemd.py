"""What systemd is told."""

import socket
from pathlib import Path

import pytest

from hub.systemd import notify


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_state_reaches_the_socket(tmp_path: Path, kind: str) -> None:
    name = str(tmp_path / "notify") if kind == "path" else f"@seawall-test-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0"))
        listener.settimeout(10)
        notify("READY=1", name)
        assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", [None, ""])
def test_elsewhere_nothing_happens(address: str | None) -> None:
    notify("READY=1", address)
