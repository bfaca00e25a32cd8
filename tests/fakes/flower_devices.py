"""Devices that come over Flower by the agent's own code, each in a thread of this process; a call tells them in place of a session."""

import asyncio
import ipaddress
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from threading import Thread

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.learning.flower_child import Pipe, take_part
from contract.carrying import Frame, FrameKind
from contract.errors import SeawallError
from hub.clock import utc_now
from hub.learning.carrier import MOST_COHORTS
from hub.learning.carriers import Carriers, Site
from hub.learning.transport import Transport
from hub.store.database import Database
from seawall.hub.v1.command_pb2 import LearningRound
from tests.fakes.hub import key_pem

Answer = Callable[[str, bytes], Awaitable[bytes]]
"""Takes an agent and a stage's message."""

LOOPBACK = "127.0.0.1"
NAMES = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))])


class FlowerDevices:
    """Stands where `hub.learning.invitations` does.

    Args:
        answer: answers for all of them.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.there: set[str] = set()
        """Those in a round, whose thread runs."""

    async def invite(self, agent_ids: Collection[str], told: LearningRound) -> AsyncIterator[tuple[str, bytes | None]]:
        for agent_id in agent_ids:
            yield agent_id, self.begin(agent_id, told.port, told.certificate)

    def begin(self, agent_id: str, port: int, certificate: bytes) -> bytes:
        """Has a device come to who shows a certificate, DER. Returns the public key of its node, PEM."""
        key, trusted = ec.generate_private_key(ec.SECP256R1()), x509.load_der_x509_certificate(certificate)
        wanted = {
            "address": f"{LOOPBACK}:{port}",
            "certificate_pem": trusted.public_bytes(Encoding.PEM).decode(),
            "node_key_pem": key_pem(key).decode(),
            "deadline_seconds": 100.0,
        }
        inner = _Inner(json.dumps(wanted).encode(), asyncio.get_running_loop(), lambda message: self._answer(agent_id, message))
        self.there.add(agent_id)
        Thread(target=self._run, args=(agent_id, inner), daemon=True).start()
        return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def _run(self, agent_id: str, inner: "_Inner") -> None:
        with suppress(SystemExit):
            take_part(inner)
        self.there.discard(agent_id)


def carriers(listen: str = f"{LOOPBACK}:0") -> Carriers:
    """Returns what has a real child of the hub."""
    return Carriers(Site(listen, lambda: NAMES), utc_now)


def transport(devices: FlowerDevices, database: Database, holds_role: Callable[[], bool], most_cohorts: int = MOST_COHORTS) -> Transport:
    """Returns one by which devices come to a real child of the hub."""
    return Transport(carriers(), holds_role, database, devices.invite, os.urandom, most_cohorts)


def hub_children() -> list[int]:
    """Returns the processes of those that run."""
    found = [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
    return [int(pid) for pid in found if "hub.learning.child" in Path(f"/proc/{pid}/cmdline").read_text()]


class _Inner(Pipe):
    """The way to the agent, which is in the same process."""

    def __init__(self, begin: bytes, loop: asyncio.AbstractEventLoop, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        self._begin = begin
        self._loop = loop
        self._give = answer

    def read(self) -> Frame:
        return Frame(FrameKind.BEGIN, body=self._begin)

    def ask(self, body: bytes) -> bytes | None:
        """The agent's process ends with the test, and the child with it."""
        if self._loop.is_closed():
            raise SystemExit
        try:
            return asyncio.run_coroutine_threadsafe(self._asked(body), self._loop).result()
        except SeawallError:
            return None
        except CancelledError as error:
            raise SystemExit from error

    async def _asked(self, body: bytes) -> bytes:
        return await self._give(body)
