"""The connection to the broker: paho-mqtt in a thread of its own, seen from asyncio.

Two threads share this object. The network's thread connects, reads and writes, and runs paho's callbacks, which only hand things over by
`call_soon_threadsafe`. The event loop's thread publishes and acknowledges. Each connection has a number; the lock makes sure that
nothing which belongs to one connection is sent on the next: a packet id means another message there.
"""

import asyncio
import random
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import structlog
from paho.mqtt.client import Client, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.intake.broker import Incoming, Outgoing, make_client, publish_properties, subscribe
from agent.intake.settings import MqttSettings

_log = structlog.get_logger("intake")

_POLL_SECONDS = 1.0
_GOODBYE_SECONDS = 2.0


class ConnectionLost(Exception):
    """The connection ended before the broker had confirmed a message; it may have arrived."""


class PublishRefused(Exception):
    """The broker does not take a message."""


class Connection:
    """Keeps connected to the broker, for as long as `run` runs.

    Args:
        settings: where the broker is.
        client_id: the same after every start, so that the broker knows its session again.
        subscription: the topic filter of what is received.
        hello: published at every connection, when the subscription stands.
        goodbye: published at the end; also the last will.
        receive: called in the event loop for every message.
        randomness: for the waits between attempts, so that a fleet does not come back all at once.
    """

    def __init__(
        self,
        settings: MqttSettings,
        client_id: str,
        subscription: str,
        hello: Outgoing,
        goodbye: Outgoing,
        receive: Callable[[Incoming], None],
        randomness: random.Random,
    ) -> None:
        self._settings = settings
        self._subscription = subscription
        self._hello = hello
        self._goodbye = goodbye
        self._receive = receive
        self._randomness = randomness
        self._connected = asyncio.Event()
        self._unconfirmed: dict[int, asyncio.Future[None]] = {}
        self._lock = threading.Lock()
        self._number = 0
        self._online = False
        self._stopping = threading.Event()
        self._failures = 0
        self._client = self._prepared(make_client(settings, client_id, goodbye))

    def _prepared(self, client: Client) -> Client:
        client.on_socket_open = self._on_socket_open
        # With this one set, paho leaves all writing to the thread that calls loop().
        client.on_socket_register_write = lambda *_: None
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        return client

    @property
    def connected(self) -> bool:
        """Whether prompts can come in now."""
        return self._connected.is_set()

    async def wait_connected(self) -> None:
        """Returns when there is a connection and the subscription stands."""
        await self._connected.wait()

    async def run(self) -> None:
        """Stays connected until cancelled, then says goodbye."""
        self._loop = asyncio.get_running_loop()
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mqtt")
        network = self._loop.run_in_executor(executor, self._keep_connected)
        try:
            await asyncio.shield(network)
        finally:
            try:
                await self._say_goodbye()
            finally:
                self._stopping.set()
                self._client.disconnect()
                await network
                executor.shutdown(wait=False)
                # paho closes its own pair of sockets only when it is collected as garbage; nothing public does it sooner.
                self._client._reset_sockets()

    async def _say_goodbye(self) -> None:
        # Where this fails, the broker publishes the will, which says the same.
        with suppress(ConnectionLost, PublishRefused, TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self.publish(self._goodbye)

    async def publish(self, message: Outgoing) -> None:
        """Publishes a message; with QoS 1, returns when the broker has confirmed it.

        Raises:
            ConnectionLost: there is no connection, or it ended before.
            PublishRefused: the broker does not take it.
        """
        with self._lock:
            if not self._online:
                raise ConnectionLost
            mid = self._send(message)
        if message.qos == 0:
            return
        confirmed = self._loop.create_future()
        self._unconfirmed[mid] = confirmed
        try:
            await confirmed
        finally:
            self._unconfirmed.pop(mid, None)

    def acknowledge(self, message: Incoming) -> None:
        """Tells the broker that a message is safe. Does nothing once its connection is gone: the broker will send it again."""
        with self._lock:
            if message.connection == self._number:
                self._client.ack(message.packet_id, message.qos)

    def _send(self, message: Outgoing) -> int:
        properties = publish_properties(message) if self._settings.protocol == "5" else None
        return self._client.publish(message.topic, message.payload, message.qos, message.retain, properties).mid

    # In the event loop's thread, on behalf of the network's.

    def _came_online(self, number: int) -> None:
        with self._lock:
            if number != self._number:
                return
            self._online = True
        self._connected.set()
        _log.info("mqtt_connected", host=self._settings.host, port=self._settings.port, protocol=self._settings.protocol)

    def _went_offline(self) -> None:
        self._connected.clear()
        for confirmed in self._unconfirmed.values():
            if not confirmed.done():
                confirmed.set_exception(ConnectionLost())

    def _confirmed(self, mid: int, refusal: str | None) -> None:
        confirmed = self._unconfirmed.get(mid)
        if confirmed is None or confirmed.done():
            return
        if refusal is None:
            confirmed.set_result(None)
        else:
            confirmed.set_exception(PublishRefused(refusal))

    # In the network's thread.

    def _keep_connected(self) -> None:
        while not self._stopping.is_set():
            try:
                self._client.reconnect()
            except OSError as error:
                _log.warning("mqtt_unreachable", host=self._settings.host, port=self._settings.port, error=str(error))
            else:
                while self._client.loop(_POLL_SECONDS) == MQTTErrorCode.MQTT_ERR_SUCCESS:
                    if self._stopping.is_set():
                        self._client.disconnect()  # again: the first may have come before there was a connection
            self._hang_up()
            self._stopping.wait(self._delay_seconds())

    def _hang_up(self) -> None:
        with self._lock:
            self._number += 1
            self._online = False
        # Who published them is told, and publishes again.
        self._client.drop_out_messages()
        self._loop.call_soon_threadsafe(self._went_offline)

    def _delay_seconds(self) -> float:
        # Exponential back-off with "equal jitter" (M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015).
        longest = min(self._settings.reconnect_max_seconds, self._settings.reconnect_min_seconds * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return longest * self._randomness.uniform(0.5, 1)

    def _on_socket_open(self, _client: Client, _userdata: Any, opened: Any) -> None:
        # Without it an answer waits for the acknowledgement of the packet before it: 88 ms instead of 0.6 on loopback.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_connect(self, client: Client, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Properties | None) -> None:
        if reason.is_failure:
            _log.error("mqtt_refused", reason=str(reason), advice="check username, password, protocol and the broker's access list")
        else:
            subscribe(client, self._subscription)

    def _on_subscribe(self, client: Client, _userdata: Any, _mid: int, reasons: list[ReasonCode], _properties: Properties | None) -> None:
        if any(reason.is_failure for reason in reasons):
            _log.error("mqtt_subscription_refused", topic=self._subscription, advice="let the agent read it in the broker's access list")
            client.disconnect()
            return
        self._failures = 0
        self._send(self._hello)
        self._loop.call_soon_threadsafe(self._came_online, self._number)

    def _on_message(self, client: Client, _userdata: Any, message: MQTTMessage) -> None:
        try:
            incoming = Incoming.read(message, self._number, self._settings.max_payload_bytes)
        except UnicodeDecodeError:
            client.ack(message.mid, message.qos)
            return
        self._loop.call_soon_threadsafe(self._receive, incoming)

    def _on_publish(self, _client: Client, _userdata: Any, mid: int, reason: ReasonCode, _properties: Properties | None) -> None:
        self._loop.call_soon_threadsafe(self._confirmed, mid, str(reason) if reason.is_failure else None)

    def _on_disconnect(
        self, _client: Client, _userdata: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if self._stopping.is_set():
            return
        if self._online:
            _log.warning("mqtt_disconnected", reason=str(reason))
        else:
            _log.warning("mqtt_not_accepted", reason=str(reason), advice="check host, port, tls, and protocol: 5 or 3.1.1")
