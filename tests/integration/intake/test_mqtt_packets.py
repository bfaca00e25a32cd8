"""What only a broker of our own can do: refuse a subscription, and break off at the wrong moment."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from agent.intake.broker import Incoming, Outgoing
from agent.intake.connection import Connection, ConnectionLost
from agent.intake.settings import MqttSettings
from tests.integration.intake.scripted_broker import CONNECT, PUBACK, PUBLISH, SUBSCRIBE, ScriptedBroker
from tests.integration.intake.waiting import SECONDS, until

STATUS = Outgoing("status", b"x", "text/plain")
NOTE = Outgoing("note", b"x", "text/plain")


class Intake:
    """A connection, and what came over it."""

    def __init__(self, port: int) -> None:
        settings = MqttSettings(port=port, protocol="3.1.1", reconnect_min_seconds=0.01, reconnect_max_seconds=0.05)
        self.received: asyncio.Queue[Incoming] = asyncio.Queue()
        self.connection = Connection(settings, "agent", "filter", STATUS, STATUS, self.received.put_nowait, random.Random(1))


@pytest.fixture
async def broker() -> AsyncIterator[ScriptedBroker]:
    async with ScriptedBroker() as broker:
        yield broker


@pytest.fixture
async def intake(broker: ScriptedBroker) -> AsyncIterator[Intake]:
    intake = Intake(broker.port)
    task = asyncio.create_task(intake.connection.run())
    async with asyncio.timeout(SECONDS):
        await intake.connection.wait_connected()
    yield intake
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_subscription_that_is_refused_is_logged_and_tried_again() -> None:
    with capture_logs() as logs:
        async with ScriptedBroker(0x80, 0x01) as broker:
            connection = Intake(broker.port).connection
            task = asyncio.create_task(connection.run())
            await until(lambda: connection.connected)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["mqtt_subscription_refused"]


async def test_a_message_is_acknowledged_under_its_packet_id(broker: ScriptedBroker, intake: Intake) -> None:
    broker.deliver("topic", b"hello", packet_id=7)
    message = await intake.received.get()
    assert (message.topic, message.payload, message.packet_id) == ("topic", b"hello", 7)
    intake.connection.acknowledge(message)
    assert (await broker.packet(PUBACK))[1] == b"\x00\x07"


async def test_a_message_of_an_ended_connection_is_not_acknowledged_on_the_next(broker: ScriptedBroker, intake: Intake) -> None:
    """There its packet id may be another message's, which would be lost."""
    broker.deliver("topic", b"hello", packet_id=7)
    message = await intake.received.get()
    await broker.packet(CONNECT)
    broker.hang_up()
    await broker.packet(CONNECT)
    await until(lambda: intake.connection.connected)
    await broker.packet(SUBSCRIBE)
    intake.connection.acknowledge(message)
    await _published(intake.connection)
    kinds = [(await broker.packet(PUBACK, PUBLISH))[0] for _ in range(2)]  # the greeting, and the note
    assert kinds == [PUBLISH, PUBLISH]


async def _published(connection: Connection) -> None:
    while True:
        with suppress(ConnectionLost):
            await connection.publish(NOTE)
            return
        await connection.wait_connected()


async def test_who_publishes_is_told_that_the_connection_ended_and_nothing_is_sent_again_by_itself(
    broker: ScriptedBroker, intake: Intake
) -> None:
    broker.acknowledges = False
    publishing = asyncio.create_task(intake.connection.publish(NOTE))
    while not (await broker.packet(PUBLISH))[1].startswith(b"\x00\x04note"):
        pass
    broker.hang_up()
    with pytest.raises(ConnectionLost):
        await publishing
    await broker.packet(CONNECT)
    broker.acknowledges = True
    await _published(intake.connection)
    topics = [(await broker.packet(PUBLISH))[1][2:6] for _ in range(2)]
    assert topics == [b"stat", b"note"]


async def test_stopping_does_not_wait_for_a_broker_that_says_nothing() -> None:
    greeted = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        greeted.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        task = asyncio.create_task(Intake(server.sockets[0].getsockname()[1]).connection.run())
        await until(greeted.is_set)
        task.cancel()
        async with asyncio.timeout(SECONDS / 2):  # less than the keep-alive, after which paho would give up by itself
            with suppress(asyncio.CancelledError):
                await task
