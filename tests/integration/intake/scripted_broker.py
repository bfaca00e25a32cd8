"""A broker of MQTT 3.1.1 that does as a test says, byte by byte (OASIS MQTT 3.1.1, section 3)."""

import asyncio
from contextlib import suppress
from typing import Self

from tests.integration.intake.waiting import SECONDS

CONNECT, PUBLISH, PUBACK, SUBSCRIBE = 0x10, 0x30, 0x40, 0x82


class ScriptedBroker:
    """Listens on a free port of loopback. Used as an async context manager.

    Args:
        subscription_codes: the return codes of the SUBACKs, one after the other; then always 1, granted.
    """

    def __init__(self, *subscription_codes: int) -> None:
        self._codes = list(subscription_codes)
        self._packets: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self._writer: asyncio.StreamWriter | None = None
        self.acknowledges = True

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.hang_up()
        await self._server.wait_closed()

    def hang_up(self) -> None:
        """Ends the connection."""
        if self._writer is not None:
            self._writer.close()

    def deliver(self, topic: str, payload: bytes, packet_id: int) -> None:
        """Sends a message with QoS 1."""
        body = len(topic).to_bytes(2) + topic.encode() + packet_id.to_bytes(2) + payload
        assert self._writer is not None
        self._writer.write(bytes([PUBLISH | 0x02, len(body)]) + body)

    async def packet(self, *kinds: int) -> tuple[int, bytes]:
        """Returns the next packet of one of these kinds, as its first byte without flags, and what is behind its head."""
        async with asyncio.timeout(SECONDS):
            while (packet := await self._packets.get())[0] not in kinds:
                pass
        return packet

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(2)
                self._answer(head[0], await reader.readexactly(head[1]), writer)
        writer.close()

    def _answer(self, first_byte: int, body: bytes, writer: asyncio.StreamWriter) -> None:
        kind = first_byte if first_byte == SUBSCRIBE else first_byte & 0xF0
        if kind == CONNECT:
            writer.write(b"\x20\x02\x00\x00")
        elif kind == SUBSCRIBE:
            writer.write(b"\x90\x03" + body[:2] + bytes([self._codes.pop(0) if self._codes else 1]))
        elif kind == PUBLISH and first_byte & 0x06 and self.acknowledges:
            topic_bytes = int.from_bytes(body[:2])
            writer.write(b"\x40\x02" + body[2 + topic_bytes : 4 + topic_bytes])
        self._packets.put_nowait((kind, body))
