"""A device in a test: an MQTT client that asks, and keeps what it is told."""

import asyncio
import json
import socket
from dataclasses import dataclass
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.integration.intake.waiting import SECONDS

AGENT = "agent-1"
PREFIX = f"seawall/v1/agents/{AGENT}/clients/device/"


@dataclass(frozen=True)
class Heard:
    """A message that came, its topic cut down to what is behind the device's prefix."""

    topic: str
    body: dict[str, Any]
    content_type: str | None
    correlation_data: bytes | None


class Device:
    """A client named `device`. Used as an async context manager.

    Args:
        port: the broker's.
        version: of MQTT.
        credentials: user name and password.
        session: a client id under which the broker keeps what comes while the device is away; MQTT 3.1.1 only.
    """

    def __init__(self, port: int, version: str = "5", credentials: tuple[str, str] | None = None, session: str | None = None) -> None:
        self._port = port
        self._ready = asyncio.Event()
        self._sent: asyncio.Queue[int] = asyncio.Queue()
        self._heard: asyncio.Queue[Heard] = asyncio.Queue()
        self.status: asyncio.Queue[str] = asyncio.Queue()
        protocol = MQTTProtocolVersion.MQTTv5 if version == "5" else MQTTProtocolVersion.MQTTv311
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=session, clean_session=False if session else None, protocol=protocol)
        if credentials:
            self._client.username_pw_set(*credentials)
        self._client.on_socket_open = _send_at_once
        self._client.on_subscribe = lambda *_: self._post(self._ready.set)
        self._client.on_connect = lambda client, *_: client.subscribe([(PREFIX + "#", 1), (_STATUS, 1)])
        self._client.on_message = lambda _client, _userdata, message: self._post(self._hear, message)
        self._client.on_publish = lambda _client, _userdata, mid, *_: self._post(self._sent.put_nowait, mid)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        async with asyncio.timeout(SECONDS):
            await self._ready.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
        # paho closes its own pair of sockets only when it is collected as garbage.
        self._client._reset_sockets()

    def _post(self, call: Any, *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(call, *arguments)

    def _hear(self, message: MQTTMessage) -> None:
        if message.topic == _STATUS:
            self.status.put_nowait(json.loads(message.payload)["state"])
            return
        topic = message.topic.removeprefix(PREFIX)
        if topic.startswith(("prompt", "feedback")):
            return
        properties = message.properties
        self._heard.put_nowait(
            Heard(
                topic,
                json.loads(message.payload),
                getattr(properties, "ContentType", None),
                getattr(properties, "CorrelationData", None),
            )
        )

    async def send(
        self,
        payload: bytes | dict[str, Any],
        topic: str = "prompts",
        qos: int = 1,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        retain: bool = False,
        traceparent: str | None = None,
    ) -> None:
        """Publishes under the device's prefix, and waits until the broker has it."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        properties = None
        if response_topic is not None or correlation_data is not None or traceparent is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho has not annotated it
            if response_topic is not None:
                properties.ResponseTopic = response_topic
            if correlation_data is not None:
                properties.CorrelationData = correlation_data
            if traceparent is not None:
                properties.UserProperty = ("traceparent", traceparent)
        self._client.publish(PREFIX + topic, body, qos, retain, properties)
        async with asyncio.timeout(SECONDS):
            await self._sent.get()

    async def hear(self) -> Heard:
        """Returns the next message."""
        async with asyncio.timeout(SECONDS):
            return await self._heard.get()

    async def answer(self) -> str:
        """Returns the text of the next message, which is an answer."""
        heard = await self.hear()
        assert heard.topic == "answers", heard
        return str(heard.body["answer"])

    async def reason(self) -> str:
        """Returns the reason of the next message, which is a problem."""
        heard = await self.hear()
        assert heard.body["type"] == "urn:seawall:problem:" + heard.body["reason"]
        return str(heard.body["reason"])

    async def until_status(self, state: str) -> None:
        """Returns when the agent says that it is in a state."""
        async with asyncio.timeout(SECONDS):
            while await self.status.get() != state:
                pass

    async def heard_until(self, prompt_id: str) -> list[Heard]:
        """Asks a last thing under an id, and returns all that came before its answer."""
        await self.send({"id": prompt_id, "prompt": "last"})
        before = []
        while (heard := await self.hear()).body.get("id") != prompt_id:
            before.append(heard)
        return before


_STATUS = f"seawall/v1/agents/{AGENT}/status"


def _send_at_once(_client: Client, _userdata: Any, opened: Any) -> None:
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
