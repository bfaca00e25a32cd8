"""The child that cohorts are in, a real one: when it begins and ends, and what becomes of cohorts when one of them or the child does."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.supercore.inflatable.inflatable_object import get_object_tree

from agent.learning.flower_child import Fleet
from contract.carrying import MOST_BYTES
from contract.errors import Unavailable
from contract.secagg.server import Coordinator
from contract.secagg.wire import Kind
from hub.learning.carrier import Endpoint, carrier
from hub.learning.carriers import Carriers
from hub.learning.conducting import STAGES
from hub.learning.flower_grid import FlowerGrid
from tests.fakes.fleet_agent import eventually
from tests.fakes.flower_devices import FlowerDevices, carriers, hub_children
from tests.fakes.flower_forger import Forged, record
from tests.fakes.secagg_cohort import Cohort
from tests.fakes.tls import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 60

TAKES_NOTHING = """
import os, sys, time
from contract.carrying import Frame, FrameKind
os.read(0, 65536)
os.write(1, Frame(FrameKind.READY).to_bytes())
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Carriers]:
    """Has a child all the time."""
    made = carriers()
    async with made.entered():
        yield made


async def echo(agent: str, message: bytes) -> bytes:
    return agent.encode() + b" has " + message


@asynccontextmanager
async def cohort(made: Carriers, devices: FlowerDevices, *agents: str) -> AsyncIterator[FlowerGrid]:
    """A cohort whose devices have come."""
    async with made.entered() as running:
        with running.carrier.cohort() as grid:
            for agent in agents:
                grid.admit(agent, devices.begin(agent, running.port, running.certificate))
            await grid.until_reachable(agents, SECONDS)
            yield grid


async def test_a_child_begins_with_the_first_cohort_and_ends_with_the_last_and_then_its_port_is_free() -> None:
    made, others = carriers(f"127.0.0.1:{free_port()}"), {*hub_children()}
    async with AsyncExitStack() as later:
        async with AsyncExitStack() as first:
            entered = [await first.enter_async_context(made.entered())]
            entered.append(await later.enter_async_context(made.entered()))
        assert entered[0] is entered[1]
        [child] = {*hub_children()} - others
    assert {*hub_children()} == others
    async with made.entered():
        assert {*hub_children()} - others != {child}


async def test_a_cohort_that_ends_or_breaks_lets_its_own_devices_go_and_the_others_play_on(shared: Carriers) -> None:
    devices = FlowerDevices(echo)
    broken = asyncio.Event()

    async def breaks() -> None:
        async with cohort(shared, devices, "b1"):
            broken.set()
            await asyncio.Event().wait()

    async with cohort(shared, devices, "c1", "c2") as goes_on:
        breaking = asyncio.create_task(breaks())
        async with cohort(shared, devices, "a1") as ends:
            assert await ends.exchange({"a1": b"one", "c1": b"of another cohort"}, SECONDS) == {"a1": b"a1 has one"}
            await broken.wait()
        breaking.cancel()
        await eventually(lambda: devices.there == {"c1", "c2"})
        assert await goes_on.exchange({"c1": b"one", "c2": b"two"}, SECONDS) == {"c1": b"c1 has one", "c2": b"c2 has two"}
        await asyncio.gather(breaking, return_exceptions=True)
    await eventually(lambda: not devices.there)


def refused(answer: Forged) -> bool:
    """Announces an object that is in no answer, and says whether that is refused."""
    try:
        answer.announce(get_object_tree(record(os.urandom(16))))
    except httpx.HTTPStatusError as error:
        return error.response.status_code == httpx.codes.FORBIDDEN
    return False


async def test_a_device_that_floods_is_refused_and_its_answer_counts_and_another_cohort_plays_on(shared: Carriers) -> None:
    devices, key = FlowerDevices(echo), ec.generate_private_key(ec.SECP256R1())
    async with cohort(shared, devices, "v1") as other, shared.entered() as running:
        trusted = x509.load_der_x509_certificate(running.certificate).public_bytes(Encoding.PEM)
        with running.carrier.cohort() as flooded, closing(Fleet(f"127.0.0.1:{running.port}", trusted, key, SECONDS)) as node:
            flooded.admit("x1", key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
            await asyncio.to_thread(node.activate)
            exchanging = asyncio.create_task(flooded.exchange({"x1": b"one"}, SECONDS))
            answer = Forged(node, await asyncio.to_thread(node.pull))
            await asyncio.to_thread(answer.announce)
            assert all([await asyncio.to_thread(refused, answer) for _ in range(50)])
            assert await other.exchange({"v1": b"one"}, SECONDS) == {"v1": b"v1 has one"}
            await asyncio.to_thread(answer.give)
            assert await exchanging == {"x1": b"answer"}


async def test_a_secure_sum_is_exact_though_a_device_is_lost_once_it_has_shared(shared: Carriers) -> None:
    devices_of = Cohort(5, entries=256)
    participants, lost = devices_of.participants(), devices_of.agents[2]

    async def answer(agent: str, message: bytes) -> bytes:
        return await asyncio.to_thread(participants[agent].receive, message)

    coordinator = Coordinator(devices_of.plan(), devices_of.roster)
    async with cohort(shared, FlowerDevices(answer), *devices_of.agents) as grid:
        messages = coordinator.invitations()
        for stage in STAGES:
            if stage is Kind.MASKED:
                del messages[lost]
            for agent, answered in (await grid.exchange(messages, SECONDS)).items():
                coordinator.receive(agent, answered)
            messages = coordinator.close_stage()
    assert coordinator.sum is not None
    assert coordinator.sum.agents == tuple(agent for agent in devices_of.agents if agent != lost)
    assert coordinator.sum.values == devices_of.sum_of(coordinator.sum.agents)


async def test_an_agent_may_be_in_one_cohort_after_the_other_in_the_same_child(shared: Carriers) -> None:
    devices = FlowerDevices(echo)
    for message in (b"one", b"two"):
        async with cohort(shared, devices, "a1") as grid:
            assert await grid.exchange({"a1": message}, SECONDS) == {"a1": b"a1 has " + message}
        await eventually(lambda: not devices.there)


async def test_when_the_child_dies_all_its_cohorts_fail_and_the_next_has_another_on_the_same_port() -> None:
    asked = asyncio.Event()

    async def stands_still(agent: str, message: bytes) -> bytes:
        if message == b"wait":
            asked.set()
            await asyncio.Event().wait()
        return await echo(agent, message)

    made, devices, others = carriers(f"127.0.0.1:{free_port()}"), FlowerDevices(stands_still), {*hub_children()}
    async with cohort(made, devices, "a1") as in_a_stage, cohort(made, devices, "b1") as before_one, made.entered() as running:
        with running.carrier.cohort() as gathers:
            waits = asyncio.gather(
                in_a_stage.exchange({"a1": b"wait"}, SECONDS), gathers.until_reachable(["d1"], SECONDS), return_exceptions=True
            )
            await asked.wait()
            [child] = {*hub_children()} - others
            os.kill(child, signal.SIGKILL)
            assert [type(each) for each in await waits] == [Unavailable] * 2
        with pytest.raises(Unavailable):
            await before_one.exchange({"b1": b"one"}, SECONDS)
        async with cohort(made, devices, "e1") as anew:
            assert await anew.exchange({"e1": b"one"}, SECONDS) == {"e1": b"e1 has one"}
    assert {*hub_children()} == others


async def test_what_the_child_does_not_take_is_not_heaped_up_and_the_stage_ends_in_time(tmp_path: Path) -> None:
    listener, go = socket.create_server(("127.0.0.1", 0)), tmp_path / "go"
    command = (sys.executable, "-I", "-c", TAKES_NOTHING, str(go))
    async with carrier(Endpoint(listener, b"", b""), command) as begun:
        with begun.cohort() as grid:
            assert await grid.exchange({f"a{number}": bytes(MOST_BYTES) for number in range(8)}, 0.1) == {}
            assert begun._to_child.transport.get_write_buffer_size() < 2 * MOST_BYTES
        go.touch()
