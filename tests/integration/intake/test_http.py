import asyncio
import hashlib
import json
import random
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Protocol

import httpx2
import openai
import pytest
from prometheus_client import CollectorRegistry, Counter

from agent.intake.http import HttpIntake
from agent.intake.settings import HttpSettings
from contract.classification import DataClass
from contract.errors import Busy, NotPossibleNow, PromptTooLong, Reason
from tests.fakes.answerer import FakeAnswerer, Faults
from tests.fakes.feedback import FakeFeedback
from tests.integration.intake.waiting import until

KEYS = {"panel": hashlib.sha256(b"panel-key").hexdigest()}
MESSAGES: Any = [{"role": "user", "content": "one two three"}]
CHAT = {"model": "small", "messages": MESSAGES}


class Serve(Protocol):
    """Runs a server for the length of a `with` block; keywords are settings."""

    def __call__(self, **settings: Any) -> AbstractAsyncContextManager[HttpIntake]: ...


@pytest.fixture
def health() -> dict[str, Any]:
    return {"ok": True, "model": "small"}


@pytest.fixture
def serve(answerer: FakeAnswerer, health: dict[str, Any], feedback: FakeFeedback) -> Serve:
    registry = CollectorRegistry()
    Counter("prompts", "Prompts taken.", registry=registry).inc(3)

    @asynccontextmanager
    async def serving(**settings: Any) -> AsyncIterator[HttpIntake]:
        chosen = HttpSettings(**{"port": 0, "grace_seconds": 0, **settings})
        now = lambda: datetime.now(UTC)  # noqa: E731
        intake = HttpIntake(chosen, answerer, "small", lambda: health, registry, now, random.Random(5), feedback.give)
        intake.bind()
        task = asyncio.create_task(intake.run())
        try:
            yield intake
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return serving


async def test_feedback_is_passed_on_with_who_gives_it(serve: Serve, feedback: FakeFeedback) -> None:
    async with serve(keys=KEYS) as intake, plain(intake) as client:
        key = {"Authorization": "Bearer panel-key"}
        said = await client.post("/v1/feedback", json={"id": "chatcmpl-1", "good": False}, headers=key)
        assert (said.status_code, said.json()) == (200, {"id": "chatcmpl-1", "good": False})
        assert (await client.post("/v1/feedback", json={"prompt_id": "p2", "good": True}, headers=key)).status_code == 200
        assert (await client.post("/v1/feedback", json={"id": "p3", "good": True})).status_code == 401
        unknown = await client.post("/v1/feedback", json={"id": "unknown", "good": True}, headers=key)
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "answer_not_found")
        assert (await client.post("/v1/feedback", json={"id": "p1", "good": "yes"}, headers=key)).status_code == 400
        assert (await client.post("/v1/feedback", content=b"x" * 5000, headers=key)).status_code == 413
        assert (await client.get("/v1/feedback", headers=key)).status_code == 405
    assert feedback.given == [("http/panel", "chatcmpl-1", False), ("http/panel", "p2", True)]


def official(intake: HttpIntake, key: str = "none") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{intake.port}/v1", api_key=key, max_retries=0, timeout=20)


def plain(intake: HttpIntake) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{intake.port}", timeout=20)


async def test_the_official_client_gets_a_whole_answer_with_its_receipt(serve: Serve, answerer: FakeAnswerer) -> None:
    async with serve() as intake, official(intake) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="small", messages=MESSAGES, extra_headers={"X-Seawall-Conversation": "c1"}, max_completion_tokens=9, seed=3
        )
    answer = raw.parse()
    assert answer.choices[0].message.content == "three two one"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (3, 6)
    assert answer.model_extra is not None
    assert answer.model_extra["seawall"]["route"] == "local"
    assert raw.headers["x-seawall-route"] == "local"
    assert raw.headers["x-seawall-confidence"] == "0.750"
    assert raw.headers["x-seawall-provisional"] == "false"
    (prompt,) = answerer.prompts
    assert (prompt.client, prompt.conversation, prompt.prompt_id) == ("http/local", "c1", answer.id)
    assert (prompt.sampling.max_tokens, prompt.sampling.seed, prompt.stream) == (9, 3, False)


async def test_the_official_client_gets_a_stream(serve: Serve) -> None:
    async with serve() as intake, official(intake) as client:
        stream = await client.chat.completions.create(model="small", messages=MESSAGES, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "three two one"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * 4 + ["stop"]
    assert (chunks[-2].model_extra or {})["seawall"]["route"] == "local"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 6
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_official_client_works_without_asyncio(serve: Serve) -> None:
    async with serve() as intake:
        whole, streamed, models = await asyncio.to_thread(_ask_in_a_thread, intake.port)
    assert whole == streamed == "three two one"
    assert models == ["small"]


def _ask_in_a_thread(port: int) -> tuple[str | None, str, list[str]]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client:
        whole = client.chat.completions.create(model="small", messages=MESSAGES).choices[0].message.content
        stream = client.chat.completions.create(model="small", messages=MESSAGES, stream=True)
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        client.models.retrieve("small")
        return whole, streamed, [model.id for model in client.models.list()]


async def test_a_stream_is_server_sent_events_that_end_with_done(serve: Serve) -> None:
    async with serve() as intake, plain(intake) as client:
        response = await client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = response.text.split("\n\n")
    assert all(event.startswith("data: ") for event in events[:-1])
    assert events[-2:] == ["data: [DONE]", ""]
    assert all("usage" not in json.loads(event[6:]) for event in events[:-2])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": "gpt"}, openai.NotFoundError),
        ({"temperature": 9}, openai.BadRequestError),
        ({"n": 2}, openai.BadRequestError),
        ({"messages": []}, openai.BadRequestError),
        ({"extra_body": {"unknown": 1}}, openai.BadRequestError),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_official_client_raises_the_right_errors(
    serve: Serve, changes: dict[str, Any], error: type[openai.APIStatusError], stream: bool
) -> None:
    async with serve() as intake, official(intake) as client:
        with pytest.raises(error) as refused:
            await client.chat.completions.create(**{"model": "small", "messages": MESSAGES, "stream": stream, **changes})
    assert refused.value.code
    assert refused.value.type == "invalid_request_error"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_before_the_first_word_has_its_status(serve: Serve, answerer: FakeAnswerer, stream: bool) -> None:
    async with serve() as intake, official(intake) as client:
        answerer.faults = Faults(refusal=PromptTooLong(Reason.PROMPT_TOO_LONG, "9000 tokens, the model takes 2048"))
        with pytest.raises(openai.BadRequestError, match="2048") as too_long:
            await client.chat.completions.create(model="small", messages=MESSAGES, stream=stream)
        answerer.faults = Faults(refusal=Busy(Reason.QUEUE_FULL, "later"))
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="small", messages=MESSAGES, stream=stream)
    assert too_long.value.code == "context_length_exceeded"


async def test_a_failure_in_the_middle_of_a_stream_is_an_error_in_it(serve: Serve, answerer: FakeAnswerer) -> None:
    answerer.faults = Faults(bug=KeyError("secret"))
    async with serve() as intake, official(intake) as client:
        stream = await client.chat.completions.create(model="small", messages=MESSAGES, stream=True)
        with pytest.raises(openai.APIError, match="mistake of its own") as failed:
            async for _ in stream:
                pass
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model="small", messages=MESSAGES)
        assert failed.value.code == "internal"
        answerer.faults = Faults()
        assert (await client.chat.completions.create(model="small", messages=MESSAGES)).choices


async def test_with_keys_only_who_has_one_is_answered(serve: Serve, answerer: FakeAnswerer) -> None:
    async with serve(host="0.0.0.0", keys=KEYS) as intake:
        async with official(intake, "wrong") as client:
            with pytest.raises(openai.AuthenticationError) as refused:
                await client.chat.completions.create(model="small", messages=MESSAGES)
            assert refused.value.code == "invalid_api_key"
            with pytest.raises(openai.AuthenticationError):
                await client.models.list()
        async with official(intake, "panel-key") as client:
            await client.chat.completions.create(model="small", messages=MESSAGES)
        async with plain(intake) as stranger:
            assert (await stranger.get("/metrics")).status_code == 401
            assert (await stranger.get("/healthz")).status_code == 200
    assert [prompt.client for prompt in answerer.prompts] == ["http/panel"]


async def test_a_web_page_is_refused_unless_its_origin_is_allowed(serve: Serve, answerer: FakeAnswerer) -> None:
    page = {"origin": "https://panel.example"}
    async with serve() as intake, plain(intake) as client:
        assert (await client.post("/v1/chat/completions", json=CHAT, headers=page)).status_code == 403
        assert (await client.post("/v1/chat/completions", json=CHAT, headers={"host": "evil.example"})).status_code == 403
        assert answerer.prompts == []
    async with serve(allowed_origins=["https://panel.example"]) as intake, plain(intake) as client:
        asked = {**page, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
        allowed = await client.options("/v1/chat/completions", headers={**asked, "access-control-request-private-network": "true"})
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://panel.example")
        answer = await client.post("/v1/chat/completions", json=CHAT, headers=page)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://panel.example")
        stranger = await client.post("/v1/chat/completions", json=CHAT, headers={"origin": "https://evil.example"})
        assert stranger.status_code == 403


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_of_10_mb_is_refused_without_being_kept(serve: Serve, declared: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield b"x" * 65_536

    async with serve() as intake, plain(intake) as client:
        response = await client.post("/v1/chat/completions", content=b"x" * 10_485_760 if declared else pieces())
        assert response.status_code == 413
        assert response.json()["error"]["code"] == "payload_too_large"
        assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 200


async def test_a_conversation_id_that_is_none_is_refused(serve: Serve) -> None:
    async with serve() as intake, plain(intake) as client:
        response = await client.post("/v1/chat/completions", json=CHAT, headers={"x-seawall-conversation": "c" * 200})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "x-seawall-conversation"


async def test_a_floor_is_read_from_its_header_the_highest_of_several_and_what_is_none_is_refused(
    serve: Serve, answerer: FakeAnswerer
) -> None:
    async with serve() as intake, plain(intake) as client:
        for headers in ([], [("x-seawall-floor", "internal")], [("x-seawall-floor", "restricted"), ("x-seawall-floor", "public")]):
            assert (await client.post("/v1/chat/completions", json=CHAT, headers=headers)).status_code == 200
        refused = await client.post("/v1/chat/completions", json=CHAT, headers={"x-seawall-floor": "secret"})
    assert [prompt.floor for prompt in answerer.prompts] == [DataClass.PUBLIC, DataClass.INTERNAL, DataClass.RESTRICTED]
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "x-seawall-floor")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_before_the_first_word_cancels_the_answer(serve: Serve, answerer: FakeAnswerer, stream: bool) -> None:
    answerer.gate = asyncio.Event()
    async with serve() as intake, plain(intake) as client:
        asking = asyncio.create_task(client.post("/v1/chat/completions", json={**CHAT, "stream": stream}))
        await until(answerer.begun.is_set)
        asking.cancel()
        await until(lambda: len(answerer.cancelled) == 1)


async def test_a_client_that_leaves_in_the_middle_of_a_stream_cancels_the_answer(serve: Serve, answerer: FakeAnswerer) -> None:
    answerer.pause = asyncio.Event()
    async with serve() as intake, official(intake) as client:
        stream = await client.chat.completions.create(model="small", messages=MESSAGES, stream=True)
        first = [await anext(stream), await anext(stream)]
        assert first[1].choices[0].delta.content == "three"
        await stream.close()
        await until(lambda: len(answerer.cancelled) == 1)


async def test_a_client_that_leaves_while_it_sends_is_nothing(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async with serve() as intake:
        _, writer = await asyncio.open_connection("127.0.0.1", intake.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        async with plain(intake) as client:
            assert (await client.get("/healthz")).status_code == 200
    assert not [record for record in caplog.records if "ASGI" in record.getMessage()]


async def test_stopping_ends_answers_under_way_and_closes_the_port(serve: Serve, answerer: FakeAnswerer) -> None:
    answerer.pause = asyncio.Event()
    async with serve() as intake:
        client = official(intake)
        stream = await client.chat.completions.create(model="small", messages=MESSAGES, stream=True)
        await anext(stream)
        port = intake.port
    await until(lambda: len(answerer.cancelled) == 1)
    await client.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_a_port_that_is_taken_is_a_clear_error(serve: Serve, taken: int) -> None:
    with pytest.raises(NotPossibleNow, match=f"127.0.0.1 port {taken}.*in use") as refused:
        async with serve(port=taken):
            pass
    assert refused.value.reason == Reason.CONFIG_INVALID


async def test_the_agents_own_signal_handlers_stay(serve: Serve) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with serve() as intake, plain(intake) as client:
        await client.get("/healthz")
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


async def test_health_and_metrics_are_shown(serve: Serve, health: dict[str, Any]) -> None:
    async with serve() as intake, plain(intake) as client:
        well = await client.get("/healthz")
        health["ok"] = False
        ill = await client.get("/healthz")
        metrics = await client.get("/metrics")
    assert (well.status_code, well.json()) == (200, {"ok": True, "model": "small"})
    assert (ill.status_code, ill.json()["ok"]) == (503, False)
    assert "prompts_total 3.0" in metrics.text
    assert metrics.headers["content-type"].startswith("text/plain")


async def test_what_is_not_here_is_said_in_openais_form(serve: Serve) -> None:
    async with serve() as intake, plain(intake) as client:
        absent, wrong_method, model = (
            await client.get("/v1/nope"),
            await client.get("/v1/chat/completions"),
            await client.get("/v1/models/x/y"),
        )
    assert [response.status_code for response in (absent, wrong_method, model)] == [404, 405, 404]
    assert absent.json()["error"]["code"] == wrong_method.json()["error"]["code"] == "unknown_url"
    assert model.json()["error"]["code"] == "model_not_found"


async def test_more_connections_than_allowed_get_503(serve: Serve) -> None:
    async with serve(max_connections=2) as intake, plain(intake) as first, plain(intake) as second:
        assert (await first.get("/healthz")).status_code == 200
        assert (await second.get("/healthz")).status_code == 503
