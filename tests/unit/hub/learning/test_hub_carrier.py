"""The hub's end of a child that does not do as ours does, and what is left of one that does not begin."""

import asyncio
import signal
import socket
import sys
from collections.abc import Sequence

import pytest
from cryptography import x509

from hub.clock import utc_now
from hub.learning.carrier import Endpoint, carrier
from hub.learning.carriers import Carriers, Site
from tests.fakes.fleet_agent import eventually
from tests.fakes.tls import free_port

SAYS_TWICE_THAT_IT_LISTENS = """
import os, time
from contract.carrying import Frame, FrameKind
os.read(0, 65536)
os.write(1, 2 * Frame(FrameKind.READY).to_bytes())
while True:
    time.sleep(1)
"""


def running(program: str) -> Sequence[str]:
    return (sys.executable, "-I", "-c", program)


async def test_a_child_that_does_not_speak_as_agreed_is_ended_and_its_port_is_free() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    async with carrier(Endpoint(listener, b"", b""), running(SAYS_TWICE_THAT_IT_LISTENS)) as begun:
        await eventually(lambda: begun.has_ended)
        assert await begun.stopped() == -signal.SIGKILL
        socket.create_server(address).close()


async def test_a_child_that_is_given_up_while_it_begins_leaves_no_listener() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    beginning = asyncio.create_task(carrier(Endpoint(listener, b"", b""), running(SAYS_TWICE_THAT_IT_LISTENS)).__aenter__())
    await asyncio.sleep(0)
    beginning.cancel()
    await asyncio.gather(beginning, return_exceptions=True)
    assert beginning.cancelled()
    assert listener.fileno() == -1


async def test_a_certificate_that_cannot_be_made_leaves_no_listener() -> None:
    def no_names() -> x509.SubjectAlternativeName:
        raise OSError("there is no certificate of the hub")

    port = free_port()
    with pytest.raises(OSError, match="no certificate"):
        async with Carriers(Site(f"127.0.0.1:{port}", no_names), utc_now).entered():
            pass
    socket.create_server(("127.0.0.1", port)).close()
