"""A thousand malformed messages each way: every one is refused, the agent goes on, and its memory does not grow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from agent.intake import chat, payloads
from contract.errors import SeawallError
from tests.integration.intake import malformed
from tests.integration.intake.agent_process import AgentProcess, Plan
from tests.integration.intake.device import Device
from tests.integration.intake.mosquitto import Mosquitto

COUNT = 1000
WARM_UP = 200
GROWTH_BYTES = 4 * 1024 * 1024
"""A thousand of these messages are 11 MiB; what the allocator keeps varies by less than one."""


@pytest.fixture
async def agent(broker: Mosquitto, tmp_path: Path) -> AsyncIterator[AgentProcess]:
    async with AgentProcess(Plan(broker.port, tmp_path / "agent.db")) as agent:
        yield agent


async def test_malformed_prompts_by_mqtt(broker: Mosquitto, agent: AgentProcess) -> None:
    texts = malformed.prompts(_is_no_prompt, seed=1, count=WARM_UP + COUNT)
    async with Device(broker.port) as device:
        await device.until_status("online")
        await _refused_by_mqtt(device, texts[:WARM_UP])
        before = agent.resident_bytes()
        await _refused_by_mqtt(device, texts[WARM_UP:])
        assert agent.resident_bytes() - before < GROWTH_BYTES
        await device.send({"prompt": "one two"})
        assert await device.answer() == "two one"


async def _refused_by_mqtt(device: Device, texts: list[bytes]) -> None:
    for number, text in enumerate(texts):
        await device.send(text, qos=number % 2)
        heard = await device.hear()
        assert heard.topic == "answers"
        assert 400 <= heard.body["status"] < 500


async def test_malformed_requests_by_http(agent: AgentProcess) -> None:
    texts = malformed.chats(_is_no_chat, seed=2, count=WARM_UP + COUNT)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{agent.http_port}") as client:
        await _refused_by_http(client, texts[:WARM_UP])
        before = agent.resident_bytes()
        await _refused_by_http(client, texts[WARM_UP:])
        assert agent.resident_bytes() - before < GROWTH_BYTES
        good = await client.post("/v1/chat/completions", json={"model": "fake", "messages": [{"role": "user", "content": "one two"}]})
        assert good.json()["choices"][0]["message"]["content"] == "two one"


async def _refused_by_http(client: httpx2.AsyncClient, texts: list[bytes]) -> None:
    for text in texts:
        response = await client.post("/v1/chat/completions", content=text)
        assert 400 <= response.status_code < 500
        error = response.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert error["message"]


async def test_bytes_that_are_no_http(agent: AgentProcess) -> None:
    for text in malformed.prompts(lambda _: True, seed=3, count=100):
        reader, writer = await asyncio.open_connection("127.0.0.1", agent.http_port)
        with closing(writer):
            writer.write(text[:1000] + b"\r\n\r\n")
            answer = await reader.readline()
        assert answer.startswith(b"HTTP/1.1 4")
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{agent.http_port}") as client:
        assert (await client.get("/healthz")).status_code == 200


def _is_no_prompt(text: bytes) -> bool:
    try:
        payloads.read_prompt(text, "c", "p", datetime.now(UTC))
    except SeawallError:
        return True
    return len(text) > 1_048_576


def _is_no_chat(text: bytes) -> bool:
    try:
        chat.read_chat(text, "fake")
    except SeawallError:
        return True
    return len(text) > 1_048_576
