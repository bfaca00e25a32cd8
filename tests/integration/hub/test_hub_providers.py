"""The official clients against a real HTTP server that answers, and fails in every way we could think of."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Literal

import pytest

from contract.classification import DataClass
from hub.config import ProviderSettings
from hub.escalation.prompts import Escalation, Finish, TextDelta, Turn
from hub.escalation.providers import create_provider
from hub.escalation.providers.base import Provider, ProviderFailed, ProviderRefused
from tests.fakes.provider_server import (
    HEAD,
    ProviderServer,
    Step,
    anthropic_answer,
    anthropic_delta,
    anthropic_end,
    anthropic_start,
    event,
    hang,
    openai_answer,
    openai_delta,
    openai_end,
    provider_server,
    reset,
    send,
    status,
)

Kind = Literal["openai", "anthropic"]
KINDS: tuple[Kind, ...] = ("openai", "anthropic")

ESCALATION = Escalation(
    "id",
    "plant-7",
    (Turn("system", "be brief"), Turn("user", "hi"), Turn("assistant", "yes?"), Turn("user", "SECRET-PROMPT")),
    frozenset(),
    DataClass.PUBLIC,
    33,
    1.5,
)

BEGIN: dict[Kind, list[Step]] = {"openai": [HEAD, openai_delta("half")], "anthropic": [*anthropic_start(), anthropic_delta("half")]}


def connect(kind: Kind, server: ProviderServer, api_key: str = "", **settings: Any) -> Provider:
    url = f"{server.url}/v1" if kind == "openai" else server.url
    return create_provider(
        ProviderSettings(name="house", kind=kind, base_url=url, model="asked", tier="private", region="here", **settings), api_key
    )


async def answer(provider: Provider) -> list[TextDelta | Finish]:
    async with aclosing(provider.answer(ESCALATION)) as pieces:
        result = [piece async for piece in pieces]
    await provider.close()
    return result


async def failure(kind: Kind, steps: Sequence[Step], **settings: Any) -> tuple[list[TextDelta | Finish], ProviderFailed]:
    """Asks a server that fails. Returns what came before, and the error."""
    seen: list[TextDelta | Finish] = []

    async def collect(provider: Provider) -> None:
        async with aclosing(provider.answer(ESCALATION)) as pieces:
            async for piece in pieces:
                seen.append(piece)  # noqa: PERF401  # kept when it raises

    async with provider_server(steps) as server:
        provider = connect(kind, server, **settings)
        with pytest.raises(ProviderFailed) as raised:
            await collect(provider)
        await provider.close()
    assert "SECRET" not in raised.value.message + raised.value.error_type
    return seen, raised.value


@pytest.mark.parametrize(
    ("kind", "steps", "model"), [("openai", openai_answer("Hel", "", "lo"), "m-1"), ("anthropic", anthropic_answer("Hel", "", "lo"), "c-1")]
)
async def test_an_answer_comes_piece_by_piece_with_its_counts(kind: Kind, steps: list[Step], model: str) -> None:
    async with provider_server(steps) as server:
        assert await answer(connect(kind, server)) == [TextDelta("Hel"), TextDelta("lo"), Finish(model, 7, 2, "stop")]


async def test_openai_is_asked_in_its_form() -> None:
    async with provider_server(openai_answer("x")) as server:
        await answer(connect("openai", server, "k-1"))
    assert server.requests == [
        {
            "model": "asked",
            "messages": [{"role": turn.role, "content": turn.content} for turn in ESCALATION.turns],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": 33,
            "temperature": 1.5,
        }
    ]
    assert server.headers[0]["authorization"] == "Bearer k-1"
    assert server.headers[0]["path"] == "/v1/chat/completions"


async def test_newer_openai_models_are_asked_in_theirs() -> None:
    async with provider_server(openai_answer("x")) as server:
        await answer(connect("openai", server, output_limit_name="max_completion_tokens", send_temperature=False))
    assert server.requests[0]["max_completion_tokens"] == 33
    assert not {"max_tokens", "temperature"} & set(server.requests[0])


async def test_anthropic_is_asked_in_its_form() -> None:
    async with provider_server(anthropic_answer("x")) as server:
        await answer(connect("anthropic", server, "k-1"))
    (asked,) = server.requests
    assert asked["system"] == "be brief"
    assert [message["role"] for message in asked["messages"]] == ["user", "assistant", "user"]
    assert (asked["max_tokens"], asked["stream"]) == (33, True)
    assert "k-1" in server.headers[0].get("authorization", "") + server.headers[0].get("x-api-key", "")
    assert server.headers[0]["path"] == "/v1/messages"


@pytest.mark.parametrize(
    ("kind", "reason", "ours"),
    [
        ("openai", "stop", "stop"),
        ("openai", "length", "length"),
        ("openai", "content_filter", "content_filter"),
        ("openai", "tool_calls", "stop"),
        ("anthropic", "end_turn", "stop"),
        ("anthropic", "stop_sequence", "stop"),
        ("anthropic", "max_tokens", "length"),
        ("anthropic", "refusal", "content_filter"),
    ],
)
async def test_ends_are_told_in_our_words(kind: Kind, reason: str, ours: str) -> None:
    end = openai_end(reason) if kind == "openai" else anthropic_end(reason)
    async with provider_server([*BEGIN[kind], *end]) as server:
        *_, finish = await answer(connect(kind, server))
    assert isinstance(finish, Finish)
    assert finish.finish_reason == ours


async def test_a_server_that_counts_nothing_is_good_enough() -> None:
    end = [event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}), event("[DONE]")]
    async with provider_server([HEAD, event({"choices": [{"index": 0, "delta": {"content": "x"}}]}), *end]) as server:
        assert await answer(connect("openai", server)) == [TextDelta("x"), Finish("asked", 0, 0, "stop")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [401, 403, 404, 408, 409, 429, 500, 502, 503, 529])
async def test_a_failing_status_is_named_by_its_number(kind: Kind, number: int) -> None:
    seen, error = await failure(kind, [status(number)])
    assert (seen, error.error_type, isinstance(error, ProviderRefused)) == ([], f"status_{number}", False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [400, 413, 422])
async def test_a_status_that_blames_the_prompt_is_a_refusal(kind: Kind, number: int) -> None:
    _, error = await failure(kind, [status(number)])
    assert isinstance(error, ProviderRefused)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_failing_status_with_a_body_of_any_kind_is_still_named(kind: Kind) -> None:
    for body in ("", "<html>", "[]", "{", "null", '{"error": 5}'):
        _, error = await failure(kind, [status(500, body)])
        assert error.error_type == "status_500"


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_is_retried_behind_our_back(kind: Kind) -> None:
    async with provider_server([status(500)]) as server:
        provider = connect(kind, server)
        with pytest.raises(ProviderFailed):
            await answer(provider)
        await provider.close()
        assert len(server.requests) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_redirect_is_not_followed(kind: Kind) -> None:
    """A prompt goes where it was allowed to go, and nowhere else."""
    async with provider_server(openai_answer("stolen")) as elsewhere:
        moved = send(f"HTTP/1.1 307 X\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        _, error = await failure(kind, [moved])
        assert error.error_type == "status_307"
        assert elsewhere.requests == []


@pytest.mark.parametrize("kind", KINDS)
async def test_nobody_listening_is_a_connection_error(kind: Kind) -> None:
    async with provider_server([]) as server:
        pass
    provider = connect(kind, server)
    with pytest.raises(ProviderFailed) as raised:
        await answer(provider)
    assert raised.value.error_type == "connection"
    await provider.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [[reset()], [send("HTTP/1.1 200 OK\r\n"), reset()], [HEAD, reset()], []])
async def test_a_connection_that_ends_before_the_first_word_is_a_failure(kind: Kind, cut: list[Step]) -> None:
    seen, error = await failure(kind, cut)
    assert (seen, error.error_type) == ([], "connection")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_connection_reset_after_the_first_word_is_a_failure(kind: Kind) -> None:
    seen, error = await failure(kind, [*BEGIN[kind], reset()])
    assert (seen, error.error_type) == ([TextDelta("half")], "connection")


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_without_an_end_is_cut_off_not_whole(kind: Kind) -> None:
    seen, error = await failure(kind, BEGIN[kind])
    assert (seen, error.error_type) == ([TextDelta("half")], "cut_off")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("words", [0, 1])
async def test_silence_ends_with_a_timeout(kind: Kind, words: int) -> None:
    steps = [*(BEGIN[kind] if words else []), hang()]
    seen, error = await failure(kind, steps, timeout_seconds=0.3)
    assert (len(seen), error.error_type) == (words, "timeout")


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_within_the_stream_is_a_failure(kind: Kind) -> None:
    told = event({"type": "error", "error": {"type": "overloaded_error", "message": "SECRET"}}, "error" if kind == "anthropic" else "")
    seen, error = await failure(kind, [*BEGIN[kind], told])
    assert seen == [TextDelta("half")]
    assert error.error_type == "error_event"


GARBAGE: tuple[object, ...] = (
    "not json",
    "{",
    "5",
    "null",
    '"text"',
    "[]",
    "[1, 2]",
    {"choices": 5},
    {"choices": [5]},
    {"choices": [{}]},
    {"choices": [{"delta": None}]},
    {"choices": [{"delta": {"content": 5}}]},
    {"choices": [{"delta": {"content": ["x"]}}]},
    {"choices": [], "usage": {"prompt_tokens": "many", "completion_tokens": None}},
    {"type": "content_block_delta"},
    {"type": "content_block_delta", "delta": 5},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": 5}},
    {"type": "message_start"},
    {"type": "message_start", "message": {"model": 5, "usage": None}},
    {"type": "message_delta", "delta": {}, "usage": 5},
    {"type": 5},
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_in_the_stream_is_our_error_or_nothing(kind: Kind, garbage: object) -> None:
    """Whatever a server sends, the only error is ours; and an answer that never ended is never whole."""
    name = str(garbage.get("type", "")) if isinstance(garbage, dict) else "message_start"
    seen, error = await failure(kind, [*BEGIN[kind], event(garbage, name if kind == "anthropic" else "")])
    assert seen == [TextDelta("half")]
    assert error.error_type in ("malformed", "cut_off")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", ["", "\xff\xfe", "data", ":::", "<html>no</html>", "data: \n\n", "event: x\n\n"])
async def test_a_body_that_is_no_stream_is_our_error(kind: Kind, body: str) -> None:
    seen, error = await failure(kind, [HEAD, send(body)])
    assert (seen, error.error_type in ("malformed", "cut_off")) == ([], True)


@pytest.mark.parametrize("kind", KINDS)
async def test_half_a_character_becomes_a_question_mark(kind: Kind) -> None:
    piece, end = ("\ud83d", openai_end()) if kind == "openai" else ("\ud83d", anthropic_end())
    delta = openai_delta(piece) if kind == "openai" else anthropic_delta(piece)
    start = [HEAD] if kind == "openai" else anthropic_start()
    async with provider_server([*start, delta, *end]) as server:
        first, *_ = await answer(connect(kind, server))
    assert first == TextDelta("?")


@pytest.mark.parametrize("kind", KINDS)
async def test_leaving_early_hangs_up_on_the_provider(kind: Kind) -> None:
    async with provider_server([*BEGIN[kind], hang()]) as server:
        provider = connect(kind, server)
        pieces = provider.answer(ESCALATION)
        assert await anext(pieces) == TextDelta("half")
        await pieces.aclose()
        await asyncio.wait_for(server.hung_up.wait(), 10)
        await provider.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_keys_in_the_environment_are_never_taken_by_themselves(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.setenv(name, "k-from-the-environment")
    async with provider_server(openai_answer("x") if kind == "openai" else anthropic_answer("x")) as server:
        await answer(connect(kind, server))
    assert "k-from-the-environment" not in str(server.headers)
