"""A provider's HTTP server that speaks OpenAI's or Anthropic's wire format over a real socket, and fails as it is told.

What it says and how it breaks is a list of steps; the official clients read it.
"""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Step = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class ProviderServer:
    """The server. `steps` is what every request is answered with, and may be changed at any time."""

    port: int = 0
    steps: Sequence[Step] = ()
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client goes before its answer is whole."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one connection with one answer."""
        try:
            await self._read_request(reader)
            answering = asyncio.ensure_future(self._answer(writer))
            leaving = asyncio.ensure_future(reader.read())
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                self.hung_up.set()
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
        finally:
            writer.close()

    async def _read_request(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.headers.append({**headers, "path": head.split(" ")[1]})
        self.requests.append(json.loads(body))

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        for step in self.steps:
            await step(writer)


@asynccontextmanager
async def provider_server(steps: Sequence[Step]) -> AsyncIterator[ProviderServer]:
    """Runs one on a free port until the block ends."""
    provider = ProviderServer(steps=steps)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.port = server.sockets[0].getsockname()[1]
    async with server:
        yield provider


def send(text: str) -> Step:
    """Sends bytes as they are."""

    async def step(writer: asyncio.StreamWriter) -> None:
        writer.write(text.encode("utf-8", "surrogatepass"))
        await writer.drain()

    return step


def status(number: int, body: str = '{"error": {"message": "SECRET-PROMPT is why"}}') -> Step:
    """Sends a whole answer with a status."""
    return send(f"HTTP/1.1 {number} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}")


def wait(event: asyncio.Event) -> Step:
    """Says nothing until the event is set."""

    async def step(_writer: asyncio.StreamWriter) -> None:
        await event.wait()

    return step


def hang() -> Step:
    """Says nothing more, ever."""
    return wait(asyncio.Event())


def reset() -> Step:
    """Ends the connection with a TCP reset."""

    async def step(writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return step


HEAD = send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")


def event(data: object, name: str = "") -> Step:
    """Sends one server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data)
    return send(f"event: {name}\ndata: {text}\n\n" if name else f"data: {text}\n\n")


def openai_delta(text: str) -> Step:
    """A piece of an answer."""
    return event(
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": [{"index": 0, "delta": {"content": text}}]}
    )


def openai_end(reason: str = "stop", input_tokens: int = 7, output_tokens: int = 2) -> list[Step]:
    """The end of an answer, with its usage."""
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}
    usage = {"prompt_tokens": input_tokens, "completion_tokens": output_tokens, "total_tokens": input_tokens + output_tokens}
    return [
        event({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}),
        event({**chunk, "choices": [], "usage": usage}),
        event("[DONE]"),
    ]


def openai_answer(*texts: str) -> list[Step]:
    """A whole good answer."""
    return [HEAD, *(openai_delta(text) for text in texts), *openai_end()]


def anthropic_start(input_tokens: int = 7) -> list[Step]:
    """The head of an answer."""
    usage = {"input_tokens": input_tokens, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "c-1", "content": (), "stop_reason": None, "usage": usage}
    return [
        HEAD,
        event({"type": "message_start", "message": message}, "message_start"),
        event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, "content_block_start"),
        event({"type": "ping"}, "ping"),
    ]


def anthropic_delta(text: str) -> Step:
    """A piece of an answer."""
    return event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}, "content_block_delta")


def anthropic_end(reason: str = "end_turn", output_tokens: int = 2) -> list[Step]:
    """The end of an answer, with its usage."""
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [
        event({"type": "content_block_stop", "index": 0}, "content_block_stop"),
        event({"type": "message_delta", "delta": delta, "usage": {"output_tokens": output_tokens}}, "message_delta"),
        event({"type": "message_stop"}, "message_stop"),
    ]


def anthropic_answer(*texts: str) -> list[Step]:
    """A whole good answer."""
    return [*anthropic_start(), *(anthropic_delta(text) for text in texts), *anthropic_end()]
