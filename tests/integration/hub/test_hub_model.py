"""A real model in llama.cpp's own OpenAI-compatible server answers through the hub."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import xllamacpp

from hub.config import ProviderSettings
from seawall.hub.v1 import escalation_pb2, escalation_pb2_grpc
from tests.fakes.hub import running_hub
from tests.fakes.hub_errors import reason_of

GGUF = Path("build/downloads/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf")
CONTEXT_TOKENS = 512

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def llama() -> Iterator[ProviderSettings]:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(GGUF)
    parameters.model_alias = {"smollm2"}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 2
    server = xllamacpp.Server(parameters)
    url = f"{server.listening_address}/v1"
    yield ProviderSettings(name="llama", kind="openai", base_url=url, model="smollm2", tier="private", region="here")
    del server


def prompt(text: str, max_output_tokens: int) -> escalation_pb2.EscalatePromptRequest:
    return escalation_pb2.EscalatePromptRequest(
        request_id=str(uuid.uuid4()),
        messages=[
            escalation_pb2.ChatMessage(role=escalation_pb2.MESSAGE_ROLE_SYSTEM, content="Answer in one short sentence."),
            escalation_pb2.ChatMessage(role=escalation_pb2.MESSAGE_ROLE_USER, content=text),
        ],
        allowed_providers=[escalation_pb2.ProviderProfile(name="llama", tier=escalation_pb2.PROVIDER_TIER_PRIVATE, region="here")],
        data_class=escalation_pb2.DATA_CLASS_PUBLIC,
        max_output_tokens=max_output_tokens,
    )


async def pieces_of(path: Path, llama: ProviderSettings, request: escalation_pb2.EscalatePromptRequest) -> list[Any]:
    async with running_hub(path, [llama]) as hub, hub.channel(await hub.enroll()) as channel:
        return [piece async for piece in escalation_pb2_grpc.EscalationServiceStub(channel).EscalatePrompt(request, timeout=60)]


async def test_its_answer_streams_with_its_counts(tmp_path: Path, llama: ProviderSettings) -> None:
    *texts, last = await pieces_of(tmp_path, llama, prompt("What is the capital of France?", 40))
    assert "Paris" in "".join(piece.text_delta for piece in texts)
    assert len(texts) > 3
    assert (last.completion.provider, last.completion.finish_reason) == ("llama", "stop")
    assert last.completion.input_tokens > 10
    assert 3 < last.completion.output_tokens <= 40


async def test_the_wanted_length_is_kept(tmp_path: Path, llama: ProviderSettings) -> None:
    *_, last = await pieces_of(tmp_path, llama, prompt("What is the capital of France?", 3))
    assert (last.completion.finish_reason, last.completion.output_tokens) == ("length", 3)


async def test_a_prompt_beyond_its_context_is_refused_as_too_long(tmp_path: Path, llama: ProviderSettings) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await pieces_of(tmp_path, llama, prompt("word " * 2 * CONTEXT_TOKENS, 5))
    assert reason_of(raised.value) == "PROMPT_INVALID"
    assert "too long" in (raised.value.details() or "")
