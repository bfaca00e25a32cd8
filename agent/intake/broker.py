"""What goes over the connection to the broker, in paho's terms and ours."""

import ssl
from dataclasses import dataclass
from typing import Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.intake.settings import MqttSettings, TlsSettings
from contract.errors import NotPossibleNow, Reason
from contract.tracing import TRACEPARENT, TraceParent, read_traceparent

RECEIVE_MAXIMUM = 20
"""How many unacknowledged messages the broker may send at once (MQTT 5, section 3.1.2.11.3)."""

_MAX_PACKET_BYTES = 32 * 1024 * 1024
"""The broker keeps longer ones to itself (MQTT 5, section 3.1.2.11.4). Far above what is taken, so that a refusal can be sent."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message from the broker.

    Args:
        payload: None: it was longer than is taken.
        redelivered: the broker may have sent it before.
        retained: it is an old message that the broker keeps for newcomers.
        connection: the number of the connection on which it came.
        trace_parent: the user property `traceparent`, if it is one; MQTT 5 only.
    """

    topic: str
    payload: bytes | None
    qos: int
    packet_id: int
    redelivered: bool
    retained: bool
    response_topic: str | None
    correlation_data: bytes | None
    connection: int
    trace_parent: TraceParent | None = None

    @classmethod
    def read(cls, message: MQTTMessage, connection: int, max_payload_bytes: int) -> Self:
        """Reads paho's form.

        Raises:
            UnicodeDecodeError: the topic is not UTF-8.
        """
        return cls(
            topic=message.topic,
            payload=bytes(message.payload) if len(message.payload) <= max_payload_bytes else None,
            qos=message.qos,
            packet_id=message.mid,
            redelivered=message.dup,
            retained=message.retain,
            response_topic=getattr(message.properties, "ResponseTopic", None),
            correlation_data=getattr(message.properties, "CorrelationData", None),
            connection=connection,
            trace_parent=_trace_parent(message),
        )

    @property
    def size_bytes(self) -> int:
        """How much memory the message takes, about."""
        return 1024 + len(self.payload or b"")


def _trace_parent(message: MQTTMessage) -> TraceParent | None:
    given = getattr(message.properties, "UserProperty", ())
    return read_traceparent([value for name, value in given if name == TRACEPARENT])


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to the broker. `content_type` and `correlation_data` travel with MQTT 5 only."""

    topic: str
    payload: bytes
    content_type: str
    correlation_data: bytes | None = None
    qos: int = 1
    retain: bool = False


def make_client(settings: MqttSettings, client_id: str, will: Outgoing) -> Client:
    """Returns a client that is ready to connect, with a session that outlives connections, and a will.

    Raises:
        NotPossibleNow: CONFIG_INVALID, the files for TLS cannot be used.
    """
    newest = settings.protocol == "5"
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=MQTTProtocolVersion.MQTTv5 if newest else MQTTProtocolVersion.MQTTv311,
        clean_session=None if newest else False,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.connect_timeout = settings.connect_timeout_seconds
    client.will_set(will.topic, will.payload, will.qos, will.retain)
    if settings.username is not None:
        client.username_pw_set(settings.username, settings.password.get_secret_value() if settings.password else None)
    if settings.tls is not None:
        client.tls_set_context(_tls_context(settings.tls))
    if newest:
        properties = _connect_properties(settings)
        client.connect_async(settings.host, settings.port, settings.keepalive_seconds, clean_start=False, properties=properties)
    else:
        client.connect_async(settings.host, settings.port, settings.keepalive_seconds)
    return client


def _connect_properties(settings: MqttSettings) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has not annotated it
    properties.SessionExpiryInterval = settings.session_expiry_seconds
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    properties.MaximumPacketSize = _MAX_PACKET_BYTES
    return properties


def _tls_context(settings: TlsSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.certificate_file is not None:
            context.load_cert_chain(settings.certificate_file, settings.key_file)
    except OSError as error:  # ssl.SSLError is one
        raise NotPossibleNow(
            Reason.CONFIG_INVALID,
            f"The files for TLS to the broker cannot be used ({error}): check ca_file, certificate_file and key_file.",
        ) from error
    return context


def subscribe(client: Client, topic_filter: str) -> None:
    """Subscribes with QoS 1; with MQTT 5, to nothing that was published by this client, and to no retained messages."""
    if client.protocol == MQTTProtocolVersion.MQTTv5:
        client.subscribe(topic_filter, options=SubscribeOptions(qos=1, noLocal=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND))
    else:
        client.subscribe(topic_filter, qos=1)


def publish_properties(message: Outgoing) -> Properties:
    """Returns the MQTT 5 properties of a message."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho has not annotated it
    properties.PayloadFormatIndicator = 1
    properties.ContentType = message.content_type
    if message.correlation_data is not None:
        properties.CorrelationData = message.correlation_data
    return properties
