"""The hub as an operator runs it: a real process, real commands, real signals."""

import asyncio
import json
import re
import resource
import signal
import socket
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from contract.identity import JoinToken
from hub.clock import utc_now
from hub.fleet.certificates import public_key_der
from hub.folder import DataFolder, create
from seawall.hub.v1 import enrollment_pb2, enrollment_pb2_grpc, escalation_pb2, escalation_pb2_grpc
from tests.fakes.hub import certificate_request, key_pem
from tests.fakes.hub_process import ANY_PORT, HubProcess, run_hub, serving
from tests.fakes.provider_server import HEAD, hang, openai_answer, openai_delta, provider_server, status

PROXYLESS = [("grpc.enable_http_proxy", 0)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("operated") / "hub"
    result = run_hub("init", "--data", str(data))
    assert result.returncode == 0, result.stderr
    return data


@pytest.fixture(scope="module")
def served(made: Path) -> Iterator[HubProcess]:
    with serving(made) as process:
        yield process


async def enroll(hub: HubProcess, token: str, agent_id: str) -> grpc.ChannelCredentials:
    """Enrols as a device does."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = enrollment_pb2.EnrollRequest(
        join_token=JoinToken.parse(token).credential,
        certificate_request=certificate_request(key),
        agent_id=agent_id,
        request_id=str(uuid.uuid4()),
    )
    root = (hub.data / "ca.crt").read_bytes()
    async with grpc.aio.secure_channel(hub.enrollment, grpc.ssl_channel_credentials(root), PROXYLESS) as channel:
        response = await enrollment_pb2_grpc.EnrollmentServiceStub(channel).Enroll(request, timeout=30)
    certificate = x509.load_der_x509_certificate(response.certificate).public_bytes(serialization.Encoding.PEM)
    return grpc.ssl_channel_credentials(root, key_pem(key), certificate)


@asynccontextmanager
async def agent_at(hub: HubProcess, credentials: grpc.ChannelCredentials) -> AsyncIterator[Any]:
    async with grpc.aio.secure_channel(hub.mtls, credentials, PROXYLESS) as channel:
        yield escalation_pb2_grpc.EscalationServiceStub(channel)


def prompt(text: str) -> escalation_pb2.EscalatePromptRequest:
    return escalation_pb2.EscalatePromptRequest(
        request_id=str(uuid.uuid4()),
        messages=[escalation_pb2.ChatMessage(role=escalation_pb2.MESSAGE_ROLE_USER, content=text)],
        allowed_providers=[escalation_pb2.ProviderProfile(name="house", tier=escalation_pb2.PROVIDER_TIER_PRIVATE, region="here")],
        data_class=escalation_pb2.DATA_CLASS_PUBLIC,
    )


def provider_variable(url: str) -> dict[str, str]:
    settings = {"name": "house", "kind": "openai", "base_url": f"{url}/v1", "model": "m", "tier": "private", "region": "here"}
    return {"SEAWALL_HUB_PROVIDERS": json.dumps([settings])}


def test_serve_opens_as_many_files_as_it_may_since_each_session_takes_one(made: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, hard))
    try:
        with serving(made) as hub, urllib.request.urlopen(f"http://{hub.metrics}/metrics") as response:
            metrics = response.read().decode()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    found = re.search(r"^process_max_fds (\S+)$", metrics, re.MULTILINE)
    assert found is not None
    assert float(found[1]) == hard > 1000


def test_serve_says_where_it_listens_and_what_is_missing(served: HubProcess) -> None:
    text = "\n".join(served.greeting)
    assert re.search(r"enrolment +127\.0\.0\.1:\d+ +\(TLS\)", text)
    assert re.search(r"agents +127\.0\.0\.1:\d+ +\(mutual TLS\)", text)
    assert "http://127.0.0.1" in text
    assert "nothing can be escalated until hub.toml names one" in text


def test_what_the_hub_keeps_is_nobody_elses_business(served: HubProcess) -> None:
    assert {path.stat().st_mode & 0o077 for path in served.data.iterdir()} == {0}


def test_join_token_prints_a_token_that_trusts_the_ca(served: HubProcess) -> None:
    result = served.operate("join-token", "--ttl", "5m")
    assert result.returncode == 0
    token = JoinToken.parse(result.stdout)
    certificate = x509.load_pem_x509_certificate((served.data / "ca.crt").read_bytes())
    assert token.trusts(public_key_der(certificate.public_key()))
    assert "shown this once" in result.stderr


async def test_an_enrolled_agent_is_listed_for_people_and_for_programs(served: HubProcess) -> None:
    await enroll(served, await asyncio.to_thread(served.join_token), "plant-7")
    table = await asyncio.to_thread(served.operate, "agents", "list")
    assert "agents/plant-7" in table.stdout
    assert "never" in table.stdout
    assert "1 enrolled" in table.stdout
    (agent,) = json.loads((await asyncio.to_thread(served.operate, "agents", "list", "--output", "json")).stdout)
    assert agent["name"] == "agents/plant-7"
    assert agent["spiffeId"] == "spiffe://seawall.internal/agents/plant-7"


def test_a_refusal_of_the_hub_is_one_line(served: HubProcess) -> None:
    result = served.operate("join-token", "--ttl", "31d")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: The hub refused: The time to live must be above 0 and at most 30 days.\n"


def test_a_port_that_is_taken_is_named_and_nothing_is_started(served: HubProcess, made: Path) -> None:
    result = run_hub("serve", "--data", str(made), **{**ANY_PORT, "SEAWALL_HUB_LISTENERS__MTLS": served.mtls})
    assert result.returncode == 1
    assert f"error: Cannot listen on {served.mtls}" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Ready" not in result.stdout


def test_systemd_is_told_when_the_hub_serves_and_ctrl_c_ends_it(made: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        with serving(made, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="600000000") as hub:
            assert systemd.recv(100) == b"READY=1"
            assert systemd.recv(100) == b"WATCHDOG=1"
            assert hub.end(signal.SIGINT) == 0
            assert systemd.recv(100) == b"STOPPING=1"
    assert "Traceback" not in hub.log.read_text()


async def test_a_hub_that_was_killed_comes_back_with_all_it_knew(tmp_path: Path) -> None:
    data = tmp_path / "hub"
    create(DataFolder(data), "seawall.internal", [], utc_now)
    async with provider_server(openai_answer("hi")) as provider:
        with serving(data, **provider_variable(provider.url)) as hub:
            unspent = await asyncio.to_thread(hub.join_token)
            spent = await asyncio.to_thread(hub.join_token)
            credentials = await enroll(hub, spent, "plant-7")
            assert hub.end(signal.SIGKILL) == -signal.SIGKILL
        with serving(data, **provider_variable(provider.url)) as hub:
            async with agent_at(hub, credentials) as stub:
                pieces = [piece async for piece in stub.EscalatePrompt(prompt("x"), timeout=30)]
            assert pieces[0].text_delta == "hi"
            with pytest.raises(grpc.aio.AioRpcError, match="has been used"):
                await enroll(hub, spent, "plant-8")
            await enroll(hub, unspent, "plant-8")
            listed = await asyncio.to_thread(hub.agents)
    assert listed == ["agents/plant-7", "agents/plant-8"]


async def test_a_stop_ends_an_answer_that_would_go_on_for_ever(made: Path) -> None:
    async with provider_server([HEAD, openai_delta("half"), hang()]) as provider:
        with serving(made, SEAWALL_HUB_LIMITS__STOP_SECONDS="0.2", **provider_variable(provider.url)) as hub:
            token = await asyncio.to_thread(hub.join_token)
            async with agent_at(hub, await enroll(hub, token, "stopped")) as stub:
                pieces = aiter(stub.EscalatePrompt(prompt("x"), timeout=60))
                assert (await anext(pieces)).text_delta == "half"
                assert await asyncio.to_thread(hub.end, signal.SIGTERM) == 0
                with pytest.raises(grpc.aio.AioRpcError):
                    await anext(pieces)
        await asyncio.wait_for(provider.hung_up.wait(), 30)
    assert "Traceback" not in hub.log.read_text()


async def test_no_log_holds_a_prompt_an_answer_or_a_secret_even_when_the_clients_are_told_to_debug(tmp_path: Path) -> None:
    data = tmp_path / "hub"
    create(DataFolder(data), "seawall.internal", [], utc_now)
    loud = {"OPENAI_LOG": "debug", "ANTHROPIC_LOG": "debug"}
    async with provider_server(openai_answer("SECRET-ANSWER")) as provider:
        with serving(data, **loud, **provider_variable(provider.url)) as hub:
            token = await asyncio.to_thread(hub.join_token)
            async with agent_at(hub, await enroll(hub, token, "plant-7")) as stub:
                for steps in (provider.steps, [status(400)], [status(500)], [HEAD, openai_delta("SECRET"), status(200)]):
                    provider.steps = steps
                    call = stub.EscalatePrompt(prompt("SECRET-PROMPT"), timeout=30)
                    await asyncio.gather(drain(call), return_exceptions=True)
            assert len(provider.requests) == 4
            hub.end(signal.SIGTERM)
    lines = [json.loads(line) for line in hub.log.read_text().splitlines()]
    assert [line["error_type"] for line in lines if line["event"] == "escalation"] == ["", "status_400", "status_500", "cut_off"]
    assert "SECRET" not in hub.log.read_text()
    assert JoinToken.parse(token).secret not in hub.log.read_text()


async def drain(call: Any) -> None:
    async for _ in call:
        pass
