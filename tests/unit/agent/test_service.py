"""What systemd is told, through a real datagram socket; and what the kernel is told of memory."""

import asyncio
import ctypes
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from agent.inference.machine import resident_bytes
from agent.service import give_memory_back, notify, watchdog


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield receiver


def test_memory_that_is_free_is_given_back() -> None:
    library, size = ctypes.CDLL(None), 64 * 1024
    library.malloc.restype, library.free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
    blocks = [library.malloc(size) for _ in range(1000)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in blocks[:-1]:  # the last one keeps the library from giving back what lies before it
        library.free(block)
    before = resident_bytes()
    give_memory_back()
    assert resident_bytes() < before - 500 * size
    library.free(blocks[-1])


def test_a_state_is_one_datagram(systemd: socket.socket) -> None:
    notify("READY=1\nSTATUS=ready")
    assert systemd.recv(100) == b"READY=1\nSTATUS=ready"


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0seawall" + str(tmp_path))
        receiver.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@seawall" + str(tmp_path))
        notify("READY=1")
        assert receiver.recv(100) == b"READY=1"


def test_without_systemd_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with structlog.testing.capture_logs() as logs:
        notify("READY=1")
    assert logs == []


@pytest.mark.parametrize("address", ["/nowhere/notify", "@nobody", "x" * 300])
def test_a_socket_at_which_nobody_listens_is_logged_and_stops_nothing(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with structlog.testing.capture_logs() as logs:
        notify("READY=1")
    assert [entry["log_level"] for entry in logs] == ["warning"]


async def test_the_watchdog_is_pinged_again_and_again(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "2000")
    pinging = asyncio.create_task(watchdog())
    for _ in range(3):
        assert await asyncio.to_thread(systemd.recv, 100) == b"WATCHDOG=1"
    pinging.cancel()
    await asyncio.wait([pinging])


@pytest.mark.parametrize("interval", [None, "", "0", "-5"])
async def test_without_a_watchdog_it_ends_at_once(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch, interval: str | None) -> None:
    if interval is None:
        monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    else:
        monkeypatch.setenv("WATCHDOG_USEC", interval)
    await asyncio.wait_for(watchdog(), 5)
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(100)


DUMPABLE = """
import ctypes
from agent.service import forbid_dumps
libc = ctypes.CDLL(None)
print(libc.prctl(3, 0, 0, 0, 0))
forbid_dumps()
print(libc.prctl(3, 0, 0, 0, 0))
"""


def test_the_kernel_is_told_to_write_no_dump() -> None:
    done = subprocess.run([sys.executable, "-c", DUMPABLE], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "0"]
