"""The two children and the wire between them: who gets in, where they connect to, and how much the hub's takes."""

import asyncio
import ipaddress
import json
import os
import resource
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.learning.carrier import CHILD as AGENT_CHILD
from agent.learning.carrier import Target, carry
from contract.carrying import QUIET
from contract.errors import Unavailable
from hub.clock import utc_now
from hub.fleet.certificates import certificate_der
from hub.learning.bounds import MOST_DATA_BYTES
from hub.learning.carrier import CHILD as HUB_CHILD
from hub.learning.carrier import MOST_CONNECTIONS, Carrier, Endpoint, carrier
from hub.learning.certificate import round_certificate
from hub.learning.flower_grid import FlowerGrid
from tests.fakes.fleet_agent import eventually
from tests.fakes.flower_devices import FlowerDevices, hub_children
from tests.fakes.hub import key_pem

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOPBACK = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])

FEW_BYTES = 16 * 1024**2
"""Fifty connections take so much."""

HEARD = (
    "socket.connect",
    "socket.sendto",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "subprocess.Popen",
    "os.exec",
    "os.fork",
)

AUDITED = f"""
import json, runpy, sys
heard = open(sys.argv[1], "a")
def hear(event, arguments):
    if event in {HEARD!r} or event == "os.posix_spawn":
        what = repr(arguments[1]) if event == "socket.connect" else repr(arguments)[1:-1]
        heard.write(json.dumps([event, what]) + chr(10))
        heard.flush()
sys.addaudithook(hear)
runpy.run_module(sys.argv[2], run_name="__main__")
"""


def audited(child: Sequence[str], log: Path) -> tuple[str, ...]:
    """The same child, of which is written down what it does with the world."""
    return (sys.executable, "-I", "-c", AUDITED, str(log), child[-1])


def heard(log: Path) -> set[tuple[str, str]]:
    return {tuple(json.loads(line)) for line in log.read_text().splitlines()}


@dataclass
class Running:
    """A child of the hub, where it is, and what this process has open while it begins."""

    carrier: Carrier
    process: int
    port: int
    certificate: bytes
    secret: Path

    @property
    def certificate_der(self) -> bytes:
        return certificate_der(x509.load_pem_x509_certificate(self.certificate))

    def target(self, grid: FlowerGrid, name: str, certificate: bytes | None = None) -> Target:
        """Where the node of an agent goes, with a key that is admitted."""
        key = ec.generate_private_key(ec.SECP256R1())
        grid.admit(name, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return Target(f"127.0.0.1:{self.port}", certificate or self.certificate, key_pem(key))


@asynccontextmanager
async def playing(folder: Path, command: Sequence[str] = HUB_CHILD, most_connections: int = MOST_CONNECTIONS) -> AsyncIterator[Running]:
    listener = socket.create_server(("127.0.0.1", 0))
    port, (key, certificate) = listener.getsockname()[1], round_certificate(LOOPBACK, utc_now())
    secret, before = folder / "hub.db", set(hub_children())
    with secret.open("w"):
        async with carrier(Endpoint(listener, certificate, key, most_connections), command) as begun:
            [process] = {*hub_children()} - before
            yield Running(begun, process, port, certificate, secret)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """One for all tests here: each has a cohort of its own."""
    async with playing(tmp_path_factory.mktemp("running")) as begun:
        yield begun


async def echo(message: bytes) -> bytes:
    return message


def inherited(pid: int) -> tuple[dict[str, str], str, set[str]]:
    """Variables, folder and files of a process."""
    process = Path(f"/proc/{pid}")
    variables = dict(each.split("=", 1) for each in (process / "environ").read_text().split("\0") if each)
    return variables, str((process / "cwd").readlink()), {str(each.readlink()) for each in (process / "fd").iterdir()}


async def test_a_round_connects_to_the_hub_alone_and_starts_no_program(tmp_path: Path) -> None:
    hub_log, agent_log = tmp_path / "hub", tmp_path / "agent"
    async with playing(tmp_path, audited(HUB_CHILD, hub_log)) as running:
        with running.carrier.cohort() as grid:
            carrying = asyncio.create_task(carry(running.target(grid, "a1"), echo, 60, audited(AGENT_CHILD, agent_log)))
            await grid.until_reachable(["a1"], 60)
            assert await grid.exchange({"a1": b"one"}, 30) == {"a1": b"one"}
        await carrying
    assert heard(hub_log) == set()
    looked_up = ("socket.getaddrinfo", repr(("127.0.0.1", running.port, 0, 1, 0))[1:-1])
    connected = ("socket.connect", repr(("127.0.0.1", running.port)))
    assert connected in heard(agent_log)
    assert heard(agent_log) <= {connected, looked_up}


async def test_a_stranger_is_shown_nothing(running: Running) -> None:
    trusting = ssl.create_default_context(cadata=running.certificate.decode())
    trusting.verify_flags &= ~ssl.VERIFY_X509_STRICT
    async with httpx2.AsyncClient(verify=trusting, base_url=f"https://127.0.0.1:{running.port}", trust_env=False) as client:
        for path, status in {
            "/v1/fleet/pull-messages": 401,
            "/v1/fleet/register-node": 404,
            "/v1/control/start-run": 404,
            "/": 404,
        }.items():
            response = await client.post(path, content=b"")
            assert (response.status_code, response.content) == (status, b""), path


async def test_a_device_does_not_come_to_who_shows_another_certificate(running: Running) -> None:
    _, other = round_certificate(LOOPBACK, utc_now())
    with running.carrier.cohort() as grid:
        with pytest.raises(Unavailable):
            await carry(running.target(grid, "a1", other), echo, 4)
        assert not grid.reachable()


async def test_the_hubs_child_inherits_no_variable_no_file_but_the_listener_and_no_folder(running: Running) -> None:
    variables, folder, files = inherited(running.process)
    assert variables == {**QUIET, "PATH": os.defpath}
    assert folder == "/"
    assert files
    assert str(running.secret) not in files


async def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_stages(running: Running) -> None:
    asked, released = asyncio.Event(), asyncio.Event()

    async def slow(_agent: str, message: bytes) -> bytes:
        asked.set()
        await released.wait()
        return b"answer to " + message

    devices = FlowerDevices(slow)
    with running.carrier.cohort() as grid:
        grid.admit("a1", devices.begin("a1", running.port, running.certificate_der))
        await grid.until_reachable(["a1"], 60)
        first = asyncio.create_task(grid.exchange({"a1": b"one"}, 3600))
        await asked.wait()
        second = asyncio.create_task(grid.exchange({"a1": b"two"}, 60))
        await asyncio.sleep(0)
        released.set()
        assert await second == {"a1": b"answer to two"}
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    await eventually(lambda: not devices.there)


def data_bytes(process: int) -> int:
    """What the limit counts."""
    [line] = [line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmData:")]
    return int(line.split()[1]) * 1024


async def test_connections_beyond_the_bound_wait_outside_and_those_within_go_on(tmp_path: Path) -> None:
    devices = FlowerDevices(lambda _, message: echo(message))
    async with playing(tmp_path, most_connections=8) as running:
        with ExitStack() as stack, running.carrier.cohort() as grid:
            grid.admit("a1", devices.begin("a1", running.port, running.certificate_der))
            await grid.until_reachable(["a1"], 60)
            for _ in range(12):
                stack.enter_context(socket.create_connection(("127.0.0.1", running.port)))
            most, _ = resource.prlimit(running.process, resource.RLIMIT_NOFILE)
            await eventually(lambda: len([*Path(f"/proc/{running.process}/fd").iterdir()]) == most)
            assert await grid.exchange({"a1": b"one"}, 60) == {"a1": b"one"}
            stack.close()
            grid.admit("a2", devices.begin("a2", running.port, running.certificate_der))
            await grid.until_reachable(["a1", "a2"], 60)
            assert set(grid.reachable()) == {"a1", "a2"}


def is_refused(stranger: socket.socket) -> bool:
    try:
        return stranger.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


async def test_connections_that_there_is_no_memory_for_are_refused_and_the_others_go_on(running: Running) -> None:
    devices, limit = FlowerDevices(lambda _, message: echo(message)), (MOST_DATA_BYTES, MOST_DATA_BYTES)
    assert resource.prlimit(running.process, resource.RLIMIT_DATA) == limit
    with ExitStack() as stack, running.carrier.cohort() as grid:
        grid.admit("a1", devices.begin("a1", running.port, running.certificate_der))
        await grid.until_reachable(["a1"], 60)
        resource.prlimit(running.process, resource.RLIMIT_DATA, (data_bytes(running.process) + FEW_BYTES, MOST_DATA_BYTES))
        strangers = [stack.enter_context(socket.create_connection(("127.0.0.1", running.port))) for _ in range(200)]
        for stranger in strangers:
            stranger.setblocking(False)
        await eventually(lambda: any(map(is_refused, strangers)))
        assert await grid.exchange({"a1": b"one"}, 60) == {"a1": b"one"}
        resource.prlimit(running.process, resource.RLIMIT_DATA, limit)
    await eventually(lambda: not devices.there, 60)
