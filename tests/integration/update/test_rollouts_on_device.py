"""A running agent with the real model does what a hub's rollouts want: what is broken is refused, what is as good is proven."""

import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from agent.identity.files import IdentityFolder
from contract.bundle import BUNDLE_FILE
from contract.errors import Reason
from models.__main__ import main as models_main
from seawall.hub.v1.rollout_pb2 import DesiredRelease, ReleaseReport, Trial
from tests.fakes.fleet_agent import eventually
from tests.fakes.fleet_hub import FakeFleetHub, fake_fleet_hub
from tests.fakes.repackaged import BUNDLE, repackaged
from tests.fakes.running_agent import AgentProcess, running

pytestmark = pytest.mark.model

State = ReleaseReport.State
MODEL = "smollm2-135m-instruct"


def models(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    """Runs `seawall-models` in this process: a new one would take seconds to start."""
    monkeypatch.setattr("sys.argv", ["seawall-models", *map(str, arguments)])
    with suppress(SystemExit):
        models_main()


def key(ceremony: Path, role: str) -> Path:
    return next((ceremony / "keys").glob(f"{role}-*.pem"))


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a noised version 2.0.0 and a repackaged 3.0.0."""
    monkeypatch.setenv("SEAWALL_PASSPHRASE", "correct horse")
    folder, ceremony = tmp_path / "mirror", tmp_path / "ceremony"
    models(monkeypatch, "trust", "init", ceremony)
    folder.mkdir()
    shutil.copytree(ceremony / "metadata", folder / "metadata")
    to = ("--to", folder, "--online-key", key(ceremony, "online"), "--root", folder / "metadata" / "1.root.json")
    for version in ("2.0.0", "3.0.0"):
        bundle = repackaged(tmp_path / version, noise=version == "2.0.0")
        models(monkeypatch, "publish", bundle, "--version", version, "--key", key(ceremony, "models"), *to)
    return folder


@pytest.fixture
async def hub() -> FakeFleetHub:
    """Of the agent in `agent`."""
    return FakeFleetHub()


@pytest.fixture
async def agent(tmp_path: Path, mirror: Path, hub: FakeFleetHub) -> AsyncIterator[AgentProcess]:
    async with fake_fleet_hub(hub) as running_hub:
        root = hashlib.sha256((mirror / "metadata" / "1.root.json").read_bytes()).hexdigest()
        IdentityFolder(tmp_path / "state" / "identity").write(replace(running_hub.identity(), root_sha256=root))
        process = AgentProcess(tmp_path, BUNDLE, SEAWALL_AGENT_UPDATE__SOURCE=str(mirror), SEAWALL_AGENT_MODEL__CONTEXT_TOKENS="512")
        async with running(process) as started:
            yield started


def wanted(rollout: str, version: str, action: DesiredRelease.Action.ValueType = DesiredRelease.TAKE) -> DesiredRelease:
    trial = Trial(probation_answers=1, min_speed_ratio=0.01)  # how fast a shared machine is at any moment is not what is tested here
    trial.probation_time.nanos = 1
    return DesiredRelease(rollout=rollout, model_version=f"models/{MODEL}/versions/{version}", action=action, trial=trial)


async def ended(hub: FakeFleetHub, rollout: str, *states: State.ValueType) -> ReleaseReport:
    await eventually(lambda: hub.released(rollout).state in states, 100)
    return hub.released(rollout)


async def ask(agent: AgentProcess) -> None:
    async with httpx2.AsyncClient(timeout=60) as client:
        body = {"messages": [{"role": "user", "content": "What is the largest ocean on Earth?"}], "max_tokens": 24}
        answer = (await client.post(f"{agent.url}/v1/chat/completions", json=body)).json()
        assert "Pacific" in answer["choices"][0]["message"]["content"]
        said = await client.post(f"{agent.url}/v1/feedback", json={"id": answer["id"], "good": True})
        assert said.status_code == 200, said.text


async def test_a_noised_version_is_refused_a_repackaged_one_proven_and_given_back(agent: AgentProcess, hub: FakeFleetHub) -> None:
    await hub.roll_out(wanted("rollouts/noised", "2.0.0"))
    report = await ended(hub, "rollouts/noised", State.REFUSED, State.PROVEN)
    assert report.state == State.REFUSED, report
    assert report.failed_figure in ("golden_share", "perplexity")
    assert report.figures["perplexity"] > report.limits["perplexity"]
    health = await agent.health()
    assert (health["model_version"], health["model_trouble"]) == (json.loads((BUNDLE / BUNDLE_FILE).read_text())["version"], "none")
    assert "2.0.0 refused" in str(health["update"])

    await hub.roll_out(wanted("rollouts/good", "3.0.0"))
    await ended(hub, "rollouts/good", State.ON_PROBATION)
    health = await agent.health()
    assert (health["model_version"], health["model_slot"]) == ("3.0.0", "a")
    await ask(agent)
    report = await ended(hub, "rollouts/good", State.PROVEN, State.ROLLED_BACK)
    assert report.state == State.PROVEN, report
    assert report.figures["golden_share"] == 1
    assert report.figures["perplexity_ratio"] == pytest.approx(1, abs=0.01)

    hub.end_streams(Reason.HUB_BUSY)
    await eventually(lambda: hub.hellos[-1].report.model == f"models/{MODEL}/versions/3.0.0", 60)
    assert hub.hellos[0].report.model != hub.hellos[-1].report.model

    await hub.roll_out(wanted("rollouts/good", "3.0.0", DesiredRelease.GIVE_BACK))
    await ended(hub, "rollouts/good", State.ROLLED_BACK)
    health = await agent.health()
    assert str(health["model_slot"]).startswith("none")
    await ask(agent)
