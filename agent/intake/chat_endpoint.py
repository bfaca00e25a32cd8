"""`/v1/chat/completions`: from the request to the answer, whole or as a stream of server-sent events."""

import asyncio
import json
import logging
import random
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from sse_starlette import EventSourceResponse
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from agent.intake.chat import Chat, Completion, read_chat, write_error
from agent.intake.fields import InvalidField, is_id
from agent.intake.guard import authenticated
from agent.intake.running import RunningAnswer
from agent.intake.settings import HttpSettings
from agent.prompts import Answer, Answerer, Delta, Prompt
from contract.classification import DataClass
from contract.errors import PayloadTooLarge, Reason, SeawallError
from contract.tracing import TRACEPARENT, read_traceparent

T = TypeVar("T")

CONVERSATION_HEADER = "x-seawall-conversation"
FLOOR_HEADER = "x-seawall-floor"

# Below this level it logs every piece of every answer.
logging.getLogger("sse_starlette").setLevel(logging.INFO)


class ChatEndpoint:
    """Answers chat requests.

    Args:
        settings: the limits, and who may ask.
        answerer: what answers.
        model_name: the name by which clients ask for the model.
        clock: the time, in UTC.
        randomness: for ids.
    """

    def __init__(
        self, settings: HttpSettings, answerer: Answerer, model_name: str, clock: Callable[[], datetime], randomness: random.Random
    ) -> None:
        self._settings = settings
        self._answerer = answerer
        self._model_name = model_name
        self._clock = clock
        self._randomness = randomness

    async def handle(self, request: Request) -> Response:
        """Answers one request.

        Raises:
            SeawallError: it is refused.
            ClientDisconnect: nobody waits for the answer any more; the work on it was cancelled.
        """
        client = authenticated(request.headers, self._settings)
        chat = read_chat(await read_body(request, self._settings.max_body_bytes), self._model_name)
        prompt = replace(self._prompt(chat, client, request.headers), conversation=_conversation(request), floor=_floor(request))
        completion = Completion(prompt.prompt_id, int(prompt.received_time.timestamp()), self._model_name)
        running = RunningAnswer(self._answerer, prompt)
        try:
            if not chat.stream:
                answer = await _unless_disconnected(request, running.answer())
                return JSONResponse(completion.whole(answer), headers=_receipt_headers(answer))
            # The first piece decides between an error's status and a stream's.
            first = await _unless_disconnected(request, running.next_piece())
            stream = _Stream(running, _events(running, first, completion, chat.include_usage))
        except BaseException:
            await running.close()
            raise
        return stream

    def _prompt(self, chat: Chat, client: str, headers: Headers) -> Prompt:
        return Prompt(
            prompt_id=f"chatcmpl-{self._randomness.getrandbits(128):032x}",
            client=client,
            messages=chat.messages,
            received_time=self._clock(),
            sampling=chat.sampling,
            stream=chat.stream,
            intake="http",
            trace_parent=read_traceparent(headers.getlist(TRACEPARENT)),
            timeout_seconds=chat.timeout_seconds,
        )


class _Stream(EventSourceResponse):
    """A stream that ends the work on its answer, however it ends itself."""

    def __init__(self, running: RunningAnswer, events: AsyncGenerator[str, None]) -> None:
        super().__init__(({"data": event} async for event in events), sep="\n")
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._running.close()


async def _events(running: RunningAnswer, first: Delta | Answer, completion: Completion, include_usage: bool) -> AsyncGenerator[str, None]:
    yield json.dumps(completion.first_chunk())
    piece = first
    try:
        while isinstance(piece, Delta):
            yield json.dumps(completion.chunk(piece.text))
            piece = await running.next_piece()
    except SeawallError as error:
        yield json.dumps(write_error(error))
        return
    yield json.dumps(completion.last_chunk(piece))
    if include_usage:
        yield json.dumps(completion.usage_chunk(piece))
    yield "[DONE]"


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Returns the body of a request.

    Raises:
        PayloadTooLarge: PAYLOAD_TOO_LARGE.
    """
    too_large = PayloadTooLarge(Reason.PAYLOAD_TOO_LARGE, f"The body is longer than {max_bytes} bytes: shorten the prompt.")
    if int(request.headers.get("content-length", 0)) > max_bytes:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise too_large
    return bytes(body)


def _conversation(request: Request) -> str | None:
    conversation = request.headers.get(CONVERSATION_HEADER)
    if conversation is not None and not is_id(conversation):
        message = "The header X-Seawall-Conversation should be 1 to 128 printable characters."
        raise InvalidField(Reason.FIELD_INVALID, message, CONVERSATION_HEADER)
    return conversation


def _floor(request: Request) -> DataClass:
    """Of several, the highest."""
    names = [str(item) for item in DataClass]
    given = request.headers.getlist(FLOOR_HEADER)
    if not set(given) <= set(names):
        raise InvalidField(Reason.FIELD_INVALID, f"The header X-Seawall-Floor should be one of {', '.join(names)}.", FLOOR_HEADER)
    return max((DataClass[name.upper()] for name in given), default=DataClass.PUBLIC)


def _receipt_headers(answer: Answer) -> dict[str, str]:
    receipt = answer.receipt
    headers = {
        "x-seawall-route": receipt.route,
        "x-seawall-receipt": receipt.receipt_id,
        "x-seawall-data-class": receipt.data_class,
        "x-seawall-provisional": str(receipt.provisional).lower(),
    }
    return headers if receipt.confidence is None else {**headers, "x-seawall-confidence": f"{receipt.confidence:.3f}"}


async def _unless_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.wait({working, leaving})


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
