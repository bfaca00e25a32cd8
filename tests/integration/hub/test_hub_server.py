"""The hub as a whole: what it does when it cannot start, and that it lets go of everything."""

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from contract.errors import NotPossibleNow
from hub.clock import utc_now
from hub.config import Listeners, Settings
from hub.folder import DataFolder, create
from hub.server import Hub

ANY = {"enrollment": "127.0.0.1:0", "mtls": "127.0.0.1:0", "metrics": "127.0.0.1:0"}


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    result = DataFolder(tmp_path / "hub")
    create(result, "seawall.internal", [], utc_now)
    return result


@pytest.mark.parametrize("listener", ["enrollment", "mtls", "metrics"])
async def test_when_a_port_is_taken_it_is_named_and_all_else_is_let_go(folder: DataFolder, listener: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(NotPossibleNow, match=address):
            await Hub(folder, Settings(listeners=Listeners(**{**ANY, listener: address})), {}).start()
    async with Hub(folder, Settings(listeners=Listeners(**ANY)), {}):
        pass
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("store")]


async def test_a_start_that_fails_late_frees_the_port_it_had(folder: DataFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as reserved:
        wanted = f"127.0.0.1:{reserved.getsockname()[1]}"
        reserved.close()
        listeners = Listeners(enrollment=wanted, mtls=f"127.0.0.1:{taken.getsockname()[1]}", metrics="")
        with pytest.raises(NotPossibleNow):
            await Hub(folder, Settings(listeners=listeners), {}).start()
        async with Hub(folder, Settings(listeners=Listeners(**{**ANY, "enrollment": wanted})), {}):
            pass


async def test_a_second_hub_on_the_same_ports_is_refused(folder: DataFolder) -> None:
    async with Hub(folder, Settings(listeners=Listeners(**ANY)), {}) as first:
        listeners = Listeners(**{**ANY, "mtls": f"127.0.0.1:{first.mtls_port}"})
        with pytest.raises(NotPossibleNow, match="Is another hub running"):
            await Hub(folder, Settings(listeners=listeners), {}).start()


async def test_without_a_metrics_address_nobody_serves_them(folder: DataFolder) -> None:
    async with Hub(folder, Settings(listeners=Listeners(**{**ANY, "metrics": ""})), {}) as hub:
        assert hub.metrics_port == 0


async def test_stopping_lets_go_of_every_port(folder: DataFolder) -> None:
    async with Hub(folder, Settings(listeners=Listeners(**ANY)), {}) as hub:
        ports = [hub.enrollment_port, hub.mtls_port, hub.metrics_port]
        for port in ports:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_missing_key_is_a_clear_error(folder: DataFolder) -> None:
    folder.server.key_path.unlink()
    with pytest.raises(NotPossibleNow, match="seawall-hub init"):
        await Hub(folder, Settings(listeners=Listeners(**ANY)), {}).start()


async def test_a_hub_can_be_started_again_after_it_was_stopped(folder: DataFolder) -> None:
    hub = Hub(folder, Settings(listeners=Listeners(**ANY)), {})
    for _ in range(2):
        await hub.start()
        await hub.stop()
