"""The operator's commands, against a hub that runs as a process of its own."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from contract.errors import SeawallError
from contract.identity import JoinToken
from hub.__main__ import app
from hub.clock import utc_now
from hub.folder import DataFolder, create
from hub.operator import connect
from seawall.hub.v1 import command_pb2, enrollment_pb2, enrollment_pb2_grpc, event_pb2, session_pb2, session_pb2_grpc
from tests.fakes.hub import certificate_request, key_pem
from tests.fakes.hub_process import HubProcess, serving


def enroll(hub: HubProcess, agent_id: str) -> grpc.ChannelCredentials:
    root = (hub.data / "ca.crt").read_bytes()
    key = ec.generate_private_key(ec.SECP256R1())
    request = enrollment_pb2.EnrollRequest(
        join_token=JoinToken.parse(hub.join_token()).credential,
        certificate_request=certificate_request(key),
        agent_id=agent_id,
        request_id=str(uuid.uuid4()),
    )
    with grpc.secure_channel(hub.enrollment, grpc.ssl_channel_credentials(root)) as channel:
        response = enrollment_pb2_grpc.EnrollmentServiceStub(channel).Enroll(request, timeout=30)
    certificate = x509.load_der_x509_certificate(response.certificate).public_bytes(serialization.Encoding.PEM)
    return grpc.ssl_channel_credentials(root, key_pem(key), certificate)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    data = tmp_path_factory.mktemp("console") / "hub"
    create(DataFolder(data), "seawall.test", [], utc_now)
    with serving(data) as process:
        yield process


@pytest.fixture(scope="module")
def agent(hub: HubProcess) -> grpc.ChannelCredentials:
    return enroll(hub, "plant-7")


def run(hub: HubProcess, *arguments: str) -> str:
    """Runs a command to its end; its errors are raised as they are."""
    variables = {"SEAWALL_HUB_LISTENERS__MTLS": hub.mtls, "COLUMNS": "200"}
    result = CliRunner(env=variables).invoke(app, [*arguments, "--data", str(hub.data)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def read(hub: HubProcess, *arguments: str) -> Any:
    return json.loads(run(hub, *arguments, "--output", "json"))


@pytest.mark.usefixtures("agent")
def test_agents_are_labelled_and_found(hub: HubProcess) -> None:
    run(hub, "agents", "label", "plant-7", "site=oslo", "line=4")
    assert read(hub, "agents", "label", "plant-7", "line-")["labels"] == {"site": "oslo"}
    assert [one["name"] for one in read(hub, "agents", "list", "--filter", "labels.site = oslo")] == ["agents/plant-7"]
    assert read(hub, "agents", "list", "--filter", "labels.site = bergen") == []
    assert "site=oslo" in run(hub, "agents", "list")
    assert "spiffeId: spiffe://seawall.test/agents/plant-7" in run(hub, "agents", "get", "plant-7")


@pytest.mark.usefixtures("agent")
def test_agents_are_suspended_resumed_and_retired(hub: HubProcess) -> None:
    enroll(hub, "plant-8")
    assert "resume plant-8" in run(hub, "agents", "suspend", "plant-8", "--reason", "stolen")
    assert read(hub, "agents", "get", "plant-8")["state"] == "SUSPENDED"
    run(hub, "agents", "resume", "plant-8")
    assert read(hub, "agents", "get", "plant-8")["state"] == "ACTIVE"
    run(hub, "agents", "retire", "plant-8", "--yes")
    assert read(hub, "agents", "get", "plant-8")["state"] == "RETIRED"
    suspended = next(event for event in read(hub, "events", "list") if event["type"] == "AGENT_SUSPENDED")
    assert (suspended["subject"], suspended["detail"]) == ("agents/plant-8", "stolen")
    assert "AGENT_RETIRED" in run(hub, "events", "list")


@pytest.mark.usefixtures("agent")
def test_a_groups_wishes_are_set_and_taken_back(hub: HubProcess) -> None:
    run(hub, "groups", "create", "all", "--priority", "3")
    run(hub, "config", "set", "all", "floor=internal", "escalation_disabled=true", "trust_bar=0.5", "max_output_tokens=64")
    run(hub, "config", "set", "all", "floor-")
    assert read(hub, "config", "get", "all") == {"escalationDisabled": True, "trustBar": 0.5, "maxOutputTokens": 64}
    assert read(hub, "groups", "update", "all", "--expression", "labels.site:*")["expression"] == "labels.site:*"
    assert "escalation_disabled=True" in run(hub, "groups", "list")
    run(hub, "groups", "delete", "all")
    assert read(hub, "groups", "list") == []


def test_a_groups_quota_is_set_shown_and_taken_back(hub: HubProcess) -> None:
    run(hub, "groups", "create", "limited")
    assert "has no quota" in run(hub, "groups", "quota", "limited")
    run(hub, "groups", "quota", "limited", "escalations_per_day=500", "tokens_per_day=20000")
    shown = run(hub, "groups", "quota", "limited")
    assert all(part in shown for part in ("escalations", "500", "20,000", "00:00 UTC"))
    after = read(hub, "groups", "quota", "limited", "tokens_per_day-")
    assert after["quota"] == {"escalationsPerDay": "500"}
    run(hub, "groups", "quota", "limited", "escalations_per_day-")
    assert "quota" not in read(hub, "groups", "get", "limited")
    run(hub, "groups", "delete", "limited")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("agents", "get", "plant-9"), "No agent plant-9"),
        (("agents", "list", "--filter", "site"), "filter cannot be read"),
        (("agents", "label", "plant-7", "site"), "neither KEY=VALUE nor KEY-"),
        (("config", "set", "nowhere", "floor=internal"), "no group nowhere"),
        (("groups", "update", "nowhere"), "--expression or --priority"),
        (("groups", "quota", "nowhere", "tokens_per_day=5"), "no group nowhere"),
        (("commands", "send", "plant-9", "restart"), "No agent plant-9"),
        (("commands", "get", "agents/plant-7"), "no command's name"),
        (("events", "watch", "--after", "123456"), "watch from now"),
    ],
)
@pytest.mark.usefixtures("agent")
def test_what_is_refused_says_why(hub: HubProcess, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(SeawallError) as raised:
        run(hub, *arguments)
    assert said in raised.value.message


async def do_what_comes(hub: HubProcess, credentials: grpc.ChannelCredentials, state: command_pb2.Command.State.ValueType) -> None:
    """An agent that reports one command."""
    async with grpc.aio.secure_channel(hub.mtls, credentials) as channel:
        call: Any = session_pb2_grpc.SessionServiceStub(channel).Connect()
        await call.write(session_pb2.ConnectRequest(hello=session_pb2.Hello()))
        async for response in call:
            if response.HasField("command"):
                outcome = session_pb2.CommandOutcome(name=response.command.name, state=state, output="all is well")
                await call.write(session_pb2.ConnectRequest(command=outcome))
            if response.HasField("outcome_received"):
                break
        call.cancel()


async def test_a_command_is_waited_for(hub: HubProcess, agent: grpc.ChannelCredentials) -> None:
    sent = asyncio.to_thread(run, hub, "commands", "send", "plant-7", "run-doctor", "--wait")
    said, _ = await asyncio.gather(sent, do_what_comes(hub, agent, command_pb2.Command.SUCCEEDED))
    assert "output: all is well" in said
    failed = asyncio.to_thread(run, hub, "commands", "send", "plant-7", "restart", "--wait")
    outcome, _ = await asyncio.gather(failed, do_what_comes(hub, agent, command_pb2.Command.FAILED), return_exceptions=True)
    assert isinstance(outcome, SeawallError)


@pytest.mark.usefixtures("agent")
def test_commands_are_listed_and_cancelled(hub: HubProcess) -> None:
    name = read(hub, "commands", "send", "plant-7", "fetch-logs", "--lines", "5")["name"]
    assert "cancelled" in run(hub, "commands", "cancel", name)
    assert read(hub, "commands", "get", name)["state"] == "CANCELLED"
    assert name in run(hub, "commands", "list", "--agent", "plant-7")


@pytest.mark.usefixtures("agent")
def test_events_are_watched(hub: HubProcess) -> None:
    with connect(DataFolder(hub.data), hub.mtls, utc_now()) as operator:
        watch = operator.stream(operator.events.WatchEvents, event_pb2.WatchEventsRequest(after_sequence=0))
        assert not next(watch).HasField("event")
        assert next(watch).event.type == "AGENT_ENROLLED"


def test_a_backup_taken_from_a_running_hub_is_the_same_fleet_in_an_empty_folder(hub: HubProcess, tmp_path: Path) -> None:
    enroll(hub, "plant-10")
    run(hub, "agents", "label", "plant-10", "site=bergen")
    run(hub, "groups", "create", "bergen", "--expression", "labels.site = bergen")
    run(hub, "config", "set", "bergen", "floor=confidential")
    before = [(one["name"], one.get("labels"), one.get("desiredGeneration")) for one in read(hub, "agents", "list")]
    run(hub, "backup", str(tmp_path / "hub.tar.gz"))
    assert (tmp_path / "hub.tar.gz").stat().st_mode & 0o077 == 0
    data = tmp_path / "restored" / "hub"
    result = CliRunner().invoke(app, ["restore", str(tmp_path / "hub.tar.gz"), "--data", str(data)], catch_exceptions=False)
    assert f"holds {len(before)} agents" in result.output
    with serving(data) as restored:
        assert [(one["name"], one.get("labels"), one.get("desiredGeneration")) for one in read(restored, "agents", "list")] == before
        assert read(restored, "config", "get", "bergen") == {"floor": "confidential"}
        assert enroll(restored, "plant-11") is not None
