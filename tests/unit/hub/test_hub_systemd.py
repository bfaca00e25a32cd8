"""What systemd is told."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.errors import Reason, Unavailable
from hub.systemd import Systemd, notify, watchdog


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


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind(str(tmp_path / "notify"))
        opened.settimeout(10)
        yield opened


async def test_the_watchdog_is_pinged_each_time_that_all_is_well_and_only_then(tmp_path: Path, listener: socket.socket) -> None:
    outcomes: list[Exception | None] = [
        None,
        Unavailable(Reason.HUB_UNAVAILABLE, "Away."),
        ssl.SSLError("no certificate of ours"),
        ConnectionRefusedError(),
        TimeoutError(),
        None,
    ]
    looked = asyncio.Event()

    async def probe() -> None:
        if not outcomes:
            looked.set()
            await asyncio.Event().wait()
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome

    task = asyncio.create_task(watchdog(probe, 0.3, str(tmp_path / "notify")))
    await asyncio.wait_for(looked.wait(), 20)
    task.cancel()
    assert [listener.recv(100) for _ in range(2)] == [b"WATCHDOG=1"] * 2
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.recv(100)


async def test_a_look_that_takes_too_long_is_no_ping(tmp_path: Path, listener: socket.socket) -> None:
    begun = 0

    async def probe() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            await asyncio.Event().wait()

    task = asyncio.create_task(watchdog(probe, 0.3, str(tmp_path / "notify")))
    assert await asyncio.to_thread(listener.recv, 100) == b"WATCHDOG=1"
    task.cancel()
    assert begun >= 2


async def test_without_a_watchdog_nobody_looks(tmp_path: Path) -> None:
    async def probe() -> None:
        pytest.fail("it looked")

    await watchdog(probe, 0, str(tmp_path / "notify"))


@pytest.mark.parametrize(
    ("environment", "read"),
    [
        ({}, Systemd(None, 0)),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "120000000"}, Systemd("/run/x", 120)),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": ""}, Systemd("@x", 0)),
    ],
)
def test_what_systemd_wants_is_in_the_environment(environment: dict[str, str], read: Systemd) -> None:
    assert Systemd.of(environment) == read
