"""The command line's client, against the agent's own HTTP server, and against things that are none."""

import asyncio
import hashlib
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from threading import Thread
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from agent.intake.http import HttpIntake
from agent.intake.settings import HttpSettings
from agent.local_client import LocalClient
from contract.errors import Busy, InvalidRequest, Reason, Unavailable
from tests.fakes.answerer import FakeAnswerer, Faults
from tests.fakes.tls import free_port

KEY = "sesame"
OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def agent(answerer: FakeAnswerer, ok: bool = True, **settings: Any) -> AsyncIterator[HttpSettings]:
    intake = HttpIntake(
        HttpSettings(port=0, **settings),
        answerer,
        "m",
        lambda: {"ok": ok, "agent": "a1"},
        CollectorRegistry(),
        lambda: datetime.now(UTC),
        random.Random(1),
    )
    port = intake.bind()
    serving = asyncio.create_task(intake.run())
    try:
        yield HttpSettings(port=port)
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def asked(client: LocalClient, text: str, conversation: str | None = None) -> str:
    chunks = await asyncio.to_thread(lambda: list(client.ask(text, conversation)))
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


async def test_an_answer_comes_whole_and_under_the_conversation_that_was_named() -> None:
    answerer = FakeAnswerer()
    async with agent(answerer) as settings:
        assert await asked(LocalClient(settings), "one two three", "tea") == "three two one"
    assert [prompt.conversation for prompt in answerer.prompts] == ["tea"]


@pytest.mark.parametrize("ok", [True, False])
async def test_the_agents_health_is_shown_whatever_it_is(ok: bool) -> None:
    async with agent(FakeAnswerer(), ok) as settings:
        assert await asyncio.to_thread(LocalClient(settings).health) == {"ok": ok, "agent": "a1"}


@pytest.mark.parametrize(
    "faults",
    [Faults(refusal=Busy(Reason.QUEUE_FULL, "too many")), Faults(late_refusal=Busy(Reason.QUEUE_FULL, "too many"))],
)
async def test_a_refusal_is_told_in_the_agents_own_words(faults: Faults) -> None:
    async with agent(FakeAnswerer(faults=faults)) as settings:
        with pytest.raises(InvalidRequest, match="too many"):
            await asked(LocalClient(settings), "one two")


async def test_the_key_is_sent_where_one_is_asked_for() -> None:
    keys = {"cli": hashlib.sha256(KEY.encode()).hexdigest()}
    async with agent(FakeAnswerer(), keys=keys) as settings:
        assert await asked(LocalClient(settings, KEY), "one two") == "two one"
        with pytest.raises(InvalidRequest, match="key"):
            await asked(LocalClient(settings, "wrong"), "one two")


@pytest.mark.parametrize(("key", "conversation"), [("日本", None), ("a\nb", None), (None, "tea\r\nX-Other: 1"), (None, "お茶")])
async def test_what_cannot_be_a_header_is_refused_before_it_is_sent(key: str | None, conversation: str | None) -> None:
    answerer = FakeAnswerer()
    async with agent(answerer) as settings:
        with pytest.raises(InvalidRequest) as caught:
            await asked(LocalClient(settings, key), "one", conversation)
    assert caught.value.reason is Reason.FIELD_INVALID
    assert answerer.prompts == []


def test_where_no_agent_runs_it_is_said_how_to_start_one() -> None:
    with pytest.raises(Unavailable, match="seawall-agent run") as caught:
        LocalClient(HttpSettings(port=free_port())).health()
    assert caught.value.reason is Reason.AGENT_UNAVAILABLE


@contextmanager
def saying(reply: bytes) -> Iterator[HttpSettings]:
    """A server that says one thing, whatever it is asked, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(reply)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(65536)

        thread = Thread(target=serve)
        thread.start()
        yield HttpSettings(port=server.getsockname()[1])
        thread.join()


def _health(client: LocalClient) -> object:
    return client.health()


def _ask(client: LocalClient) -> object:
    return list(client.ask("one"))


@pytest.mark.parametrize(
    ("look", "reply"),
    [
        (_health, b"SSH-2.0-OpenSSH_9.9\r\n"),
        (_health, b""),
        (_health, b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"),
        (_health, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"),
        (_health, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe"),
        (_health, b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"ok": true}'),
        (_ask, b""),
        (_ask, OK),
        (_ask, OK + b"6\r\n{half \r\n"),
        (_ask, OK + b'15\r\ndata: {"choices": []}\n\r\n0\r\n\r\n'),
    ],
)
def test_what_is_no_agent_or_breaks_off_never_passes_for_an_answer(look: Callable[[LocalClient], object], reply: bytes) -> None:
    with saying(reply) as settings, pytest.raises(Unavailable):
        look(LocalClient(settings, timeout_seconds=10))


def test_another_servers_refusal_is_shown_shortened() -> None:
    refusal = b"HTTP/1.1 404 Not Found\r\nContent-Length: 500\r\n\r\n" + b"x" * 500
    with saying(refusal) as settings, pytest.raises(InvalidRequest, match="HTTP 404: x") as caught:
        LocalClient(settings).health()
    assert len(caught.value.message) < 300
