"""`seawall-hub ca` and `seawall-hub tokens`, beside a hub that runs as a process of its own."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from agent.hub_channel import open_channel
from agent.identity.enrollment import enroll
from agent.identity.files import Identity
from agent.identity.renewal import renew
from contract.errors import NotPossibleNow, SeawallError
from hub.__main__ import app
from hub.clock import utc_now
from hub.folder import DataFolder, create
from hub.operator import connect
from tests.fakes.fleet_agent import eventually
from tests.fakes.hub_process import HubProcess, serving


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubProcess]:
    create(DataFolder(tmp_path / "hub"), "seawall.test", [], utc_now)
    with serving(tmp_path / "hub") as process:
        yield process


def run(hub: HubProcess, *arguments: str) -> str:
    """Runs a command to its end; its errors are raised as they are."""
    variables = {"SEAWALL_HUB_LISTENERS__MTLS": hub.mtls, "COLUMNS": "200"}
    result = CliRunner(env=variables).invoke(app, [*arguments, "--data", str(hub.data)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def labels_of(hub: HubProcess, agent_id: str) -> dict[str, str]:
    labels: dict[str, str] = json.loads(run(hub, "agents", "get", agent_id, "--output", "json")).get("labels", {})
    return labels


async def renewed(identity: Identity) -> Identity:
    async with open_channel(identity) as channel:
        return await renew(identity, ec.generate_private_key(ec.SECP256R1()), channel)


async def test_the_ca_is_replaced_step_by_step_and_every_step_says_what_comes_next(hub: HubProcess) -> None:
    agent = enroll(hub.join_token(), hub.enrollment, hub.mtls, "plant-7")
    assert "no rotation is under way" in run(hub, "ca", "status")
    rotated = run(hub, "ca", "rotate")
    assert "The running hub has taken it up." in rotated
    assert "seawall-hub ca status" in rotated
    status = run(hub, "ca", "status")
    assert "certificate of it: 1." in status
    assert "agents/plant-7  last seen" in status or "agents/plant-7  never seen" in status
    with pytest.raises(NotPossibleNow, match="agents/plant-7") as refused:
        run(hub, "ca", "finish")
    assert "--force" in refused.value.message

    assert (await renewed(agent)).ca_pem != agent.ca_pem
    assert "Next: seawall-hub ca finish" in run(hub, "ca", "status")
    assert "alone is trusted" in run(hub, "ca", "finish")
    assert "no rotation is under way" in run(hub, "ca", "status")

    def is_told() -> bool:
        return "AUTHORITIES_CHANGED" in [event["type"] for event in json.loads(run(hub, "events", "list", "--output", "json"))]

    await eventually(is_told)


def test_agents_that_are_left_behind_are_left_by_force_alone(hub: HubProcess) -> None:
    enroll(hub.join_token(), hub.enrollment, hub.mtls, "plant-7")
    run(hub, "ca", "rotate")
    hub.close()
    with pytest.raises(SeawallError, match="seawall-hub serve"):
        run(hub, "ca", "finish")
    assert "alone is trusted" in run(hub, "ca", "finish", "--force")


def test_without_a_rotation_there_is_nothing_to_finish(hub: HubProcess) -> None:
    with pytest.raises(NotPossibleNow, match="seawall-hub ca rotate"):
        run(hub, "ca", "finish", "--force")


def test_who_enrols_with_a_tokens_labels_is_in_their_groups_from_the_first(hub: HubProcess) -> None:
    run(hub, "groups", "create", "berlin", "--expression", "labels.site = berlin")
    run(hub, "config", "set", "berlin", "floor=confidential")
    token = run(hub, "tokens", "create", "--label", "site=berlin", "--label", "line=4").strip()
    enroll(token, hub.enrollment, hub.mtls, "plant-7")
    enroll(run(hub, "tokens", "create", "--ttl", "5m").strip(), hub.enrollment, hub.mtls, "plant-8")
    assert (labels_of(hub, "plant-7"), labels_of(hub, "plant-8")) == ({"site": "berlin", "line": "4"}, {})
    with connect(DataFolder(hub.data), hub.mtls, utc_now()) as operator:
        wanted = {agent.name: agent.desired_generation for agent in operator.list_agents()}
    assert wanted["agents/plant-7"] > 0 == wanted["agents/plant-8"]


def test_a_token_says_what_it_is_for(hub: HubProcess) -> None:
    made = json.loads(run(hub, "tokens", "create", "--label", "site=berlin", "--output", "json"))
    assert made["labels"] == {"site": "berlin"}
    assert made["name"] == f"joinTokens/{made['token'].partition('.')[0]}"


@pytest.mark.parametrize("label", ["site", "site-", "Site=berlin", "=berlin", f"site={'x' * 64}"])
def test_what_is_no_label_is_refused(hub: HubProcess, label: str) -> None:
    with pytest.raises(SeawallError, match=r"label|KEY=VALUE"):
        run(hub, "tokens", "create", "--label", label)


def test_a_labelled_agent_that_was_retired_gets_the_next_tokens_labels_alone(hub: HubProcess) -> None:
    with connect(DataFolder(hub.data), hub.mtls, utc_now()) as operator:
        first = operator.create_join_token(timedelta(hours=1), {"site": "berlin"})
        second = operator.create_join_token(timedelta(hours=1), {"line": "4"})
    enroll(first.token, hub.enrollment, hub.mtls, "plant-7")
    run(hub, "agents", "retire", "plant-7", "--yes")
    enroll(second.token, hub.enrollment, hub.mtls, "plant-7")
    assert labels_of(hub, "plant-7") == {"line": "4"}
