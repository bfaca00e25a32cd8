"""The hub's Fleet API and a device's node of it in this process: both sides' own code and Flower's, and between them calls, not a wire."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.learning.flower_child import Fleet
from contract.carrying import Frame, FrameKind
from hub.clock import utc_now
from hub.learning.certificate import round_certificate
from hub.learning.door import Door
from hub.learning.front import Front

T = TypeVar("T")
Application = Callable[[Any, Any, Any], Awaitable[None]]


class Wire(httpx.BaseTransport):
    """Brings what a client asks to an application on another thread's loop."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._loop = asyncio.get_running_loop()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        asking = ask(self._application, request.url.path, list(request.headers.raw), request.read())
        status, content = asyncio.run_coroutine_threadsafe(asking, self._loop).result(30)
        return httpx.Response(status, content=content, request=request)


async def ask(
    application: Application, path: str, headers: list[tuple[bytes, bytes]], body: bytes, method: str = "POST"
) -> tuple[int, bytes]:
    """Returns the status and the body."""
    told: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    lower = [(name.lower(), value) for name, value in headers]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": lower,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }
    await application(scope, receive, send)
    return told[0]["status"], b"".join(message.get("body", b"") for message in told[1:])


class FleetApi:
    """A hub's end of a round, and what it has told its process."""

    def __init__(self) -> None:
        self.told: list[Frame] = []
        self.now = 100.0
        self.door = Door()
        self.front = self.door.fronts[1] = Front(self.told.append, lambda: self.now)
        self.superlink = self.front.superlink

    def node(self, agent: str, admitted: bool = True) -> Fleet:
        """Returns the node of an agent, which has not come yet."""
        key = ec.generate_private_key(ec.SECP256R1())
        _, certificate = round_certificate(x509.SubjectAlternativeName([x509.DNSName("hub.example.org")]), utc_now())
        fleet = Fleet("hub.example.org:1", certificate, key, 20.0)
        fleet._client._client._transport = Wire(self.door)
        if admitted:
            self.door.admit(self.front, agent, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return fleet

    def kinds(self) -> list[tuple[FrameKind, str]]:
        return [(frame.kind, frame.name) for frame in self.told]


async def here(work: Callable[..., T], *arguments: Any) -> T:
    """Runs what waits for the other side, beside it."""
    return await asyncio.to_thread(work, *arguments)
