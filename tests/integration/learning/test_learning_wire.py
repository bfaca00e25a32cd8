"""The two children and the wire between them: who gets in, where they connect to, what becomes of a round whose end breaks."""

import asyncio
import ipaddress
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.learning.carrier import CHILD as AGENT_CHILD
from agent.learning.carrier import Target, carry
from contract.carrying import QUIET
from contract.errors import Unavailable
from hub.clock import utc_now
from hub.learning.carrier import CHILD as HUB_CHILD
from hub.learning.carrier import MOST_CONNECTIONS, Carrier, Endpoint, carrier
from hub.learning.certificate import round_certificate
from hub.learning.flower_grid import FlowerGrid
from tests.fakes.fleet_agent import eventually
from tests.fakes.hub import key_pem

LOOPBACK = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])

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
class Round:
    carrier: Carrier
    grid: FlowerGrid
    port: int
    certificate: bytes

    def target(self, name: str, certificate: bytes | None = None, grid: FlowerGrid | None = None) -> Target:
        """Where the node of an agent goes, with a key that is admitted."""
        key = ec.generate_private_key(ec.SECP256R1())
        (grid or self.grid).admit(name, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return Target(f"127.0.0.1:{self.port}", certificate or self.certificate, key_pem(key))


@asynccontextmanager
async def playing(command: Sequence[str] = HUB_CHILD, most_connections: int = MOST_CONNECTIONS) -> AsyncIterator[Round]:
    listener = socket.create_server(("127.0.0.1", 0))
    port, (key, certificate) = listener.getsockname()[1], round_certificate(LOOPBACK, utc_now())
    async with carrier(Endpoint(listener, certificate, key, most_connections), command) as begun:
        with begun.cohort() as grid:
            yield Round(begun, grid, port, certificate)


@pytest.fixture
async def one_round() -> AsyncIterator[Round]:
    async with playing() as running:
        yield running


async def echo(message: bytes) -> bytes:
    return message


def hub_child() -> int:
    """The process of the one that runs."""
    found = [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
    [pid] = [int(pid) for pid in found if "hub.learning.child" in Path(f"/proc/{pid}/cmdline").read_text()]
    return pid


def inherited(pid: int) -> tuple[dict[str, str], str, set[str]]:
    """Variables, folder and files of a process."""
    process = Path(f"/proc/{pid}")
    variables = dict(each.split("=", 1) for each in (process / "environ").read_text().split("\0") if each)
    return variables, str((process / "cwd").readlink()), {str(each.readlink()) for each in (process / "fd").iterdir()}


@contextmanager
def open_file(path: Path) -> Iterator[str]:
    """A file that this process has open."""
    with path.open("w"):
        yield str(path)


async def test_a_round_connects_to_the_hub_alone_and_starts_no_program(tmp_path: Path) -> None:
    hub_log, agent_log = tmp_path / "hub", tmp_path / "agent"
    async with playing(audited(HUB_CHILD, hub_log)) as one_round:
        target = one_round.target("a1")
        carrying = asyncio.create_task(carry(target, echo, 60, audited(AGENT_CHILD, agent_log)))
        await one_round.grid.until_reachable(["a1"], 60)
        assert await one_round.grid.exchange({"a1": b"one"}, 30) == {"a1": b"one"}
    await carrying
    assert heard(hub_log) == set()
    looked_up = ("socket.getaddrinfo", repr(("127.0.0.1", one_round.port, 0, 1, 0))[1:-1])
    connected = ("socket.connect", repr(("127.0.0.1", one_round.port)))
    assert connected in heard(agent_log)
    assert heard(agent_log) <= {connected, looked_up}


async def test_a_stranger_is_shown_nothing(one_round: Round) -> None:
    trusting = ssl.create_default_context(cadata=one_round.certificate.decode())
    trusting.verify_flags &= ~ssl.VERIFY_X509_STRICT
    async with httpx2.AsyncClient(verify=trusting, base_url=f"https://127.0.0.1:{one_round.port}", trust_env=False) as client:
        for path, status in {
            "/v1/fleet/pull-messages": 401,
            "/v1/fleet/register-node": 404,
            "/v1/control/start-run": 404,
            "/": 404,
        }.items():
            response = await client.post(path, content=b"")
            assert (response.status_code, response.content) == (status, b""), path


async def test_a_device_does_not_come_to_who_shows_another_certificate(one_round: Round) -> None:
    _, other = round_certificate(LOOPBACK, utc_now())
    with pytest.raises(Unavailable):
        await carry(one_round.target("a1", other), echo, 4)
    assert not one_round.grid.reachable()


async def test_the_hubs_child_inherits_no_variable_no_file_but_the_listener_and_no_folder(tmp_path: Path) -> None:
    with open_file(tmp_path / "hub.db") as secret:
        async with playing():
            variables, folder, files = inherited(hub_child())
    assert variables == {**QUIET, "PATH": os.defpath}
    assert folder == "/"
    assert secret not in files


async def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_stages(one_round: Round) -> None:
    asked, released = asyncio.Event(), asyncio.Event()

    async def slow(message: bytes) -> bytes:
        asked.set()
        await released.wait()
        return b"answer to " + message

    carrying = asyncio.create_task(carry(one_round.target("a1"), slow, 100))
    await one_round.grid.until_reachable(["a1"], 60)
    first = asyncio.create_task(one_round.grid.exchange({"a1": b"one"}, 3600))
    await asked.wait()
    second = asyncio.create_task(one_round.grid.exchange({"a1": b"two"}, 60))
    await asyncio.sleep(0)
    released.set()
    assert await second == {"a1": b"answer to two"}
    first.cancel()
    one_round.grid.end()
    await carrying
    await asyncio.gather(first, return_exceptions=True)


async def test_when_flower_ends_the_round_is_over_and_says_so(one_round: Round) -> None:
    carrying = asyncio.create_task(carry(one_round.target("a1"), echo, 20))
    await one_round.grid.until_reachable(["a1"], 60)
    os.kill(hub_child(), signal.SIGKILL)
    await eventually(lambda: not one_round.grid.reachable())
    with pytest.raises(Unavailable):
        await one_round.grid.exchange({"a1": b"one"}, 30)
    carrying.cancel()
    await asyncio.gather(carrying, return_exceptions=True)
