"""A hub, a publisher and three devices with the real model, as people run them: what is bad stops at the first wave."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contract.bundle import BUNDLE_FILE
from tests.fakes.fleet_agent import eventually
from tests.fakes.hub_process import HubProcess, run_hub, serving
from tests.fakes.models_command import done, keys
from tests.fakes.repackaged import BUNDLE, repackaged
from tests.fakes.running_agent import AgentProcess, running

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]

MODEL = "models/smollm2-135m-instruct"
SECONDS = 240
TRIAL = {"probation_answers": 4, "probation_time": "1s", "min_speed_ratio": 0.01, "max_escalation_share_rise": 1.0}
WAVES = [{"expression": "labels.ring = canary"}, {}]


class Device(AgentProcess):
    """One agent."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir()
        self.name = name
        self.asked = 0
        settings = {"SEAWALL_AGENT_AGENT_ID": name, "SEAWALL_AGENT_MODEL__CONTEXT_TOKENS": "512", "SEAWALL_AGENT_MODEL__SLOTS": "1"}
        super().__init__(folder, BUNDLE, **settings)

    async def enroll(self, hub: HubProcess, ring: str) -> None:
        made = hub.operate("tokens", "create", "--label", f"ring={ring}", "--output", "json")
        token = json.loads(made.stdout)["token"]
        ports = ("--enrollment-port", hub.enrollment.rpartition(":")[2], "--port", hub.mtls.rpartition(":")[2])
        await self.command("enroll", token, "--hub", "127.0.0.1", *ports)

    async def ask(self, *, good: bool | None = None) -> str:
        """Asks something else each time, since the cache answers what was asked before, and says whether the answer was good."""
        self.asked += 1
        question = {"role": "user", "content": f"What is the largest ocean on Earth? I ask for the {self.asked}. time."}
        async with httpx2.AsyncClient(timeout=60) as client:
            body = {"messages": [question], "max_tokens": 16}
            answer = (await client.post(f"{self.url}/v1/chat/completions", json=body)).json()
            if good is not None:
                said = await client.post(f"{self.url}/v1/feedback", json={"id": answer["id"], "good": good})
                assert said.status_code == 200, said.text
            return str(answer["choices"][0]["message"]["content"])


class Site:
    """The hub, and the devices behind it."""

    def __init__(self, hub: HubProcess, ceremony: Path, publisher: Path, devices: dict[str, Device]) -> None:
        self.hub = hub
        self.devices = devices
        self._ceremony, self._publisher = ceremony, publisher

    def publish(self, bundle: Path) -> None:
        root = self._ceremony / "metadata" / "1.root.json"
        to = ("--hub", self.hub.mtls, "--identity", self._publisher, "--root", root, "--key", *keys(self._ceremony, "models"))
        done("publish", bundle, "--version", bundle.name, *to)

    def roll_out(self, folder: Path, rollout: str, version: str) -> None:
        file = folder / f"{rollout}.json"
        file.write_text(json.dumps({"model_version": f"{MODEL}/versions/{version}", "waves": WAVES, "trial": TRIAL}))
        made = self.hub.operate("rollouts", "create", rollout, "--file", str(file))
        assert made.returncode == 0, made.stderr

    def rollout(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.hub.operate("rollouts", "get", name, "--output", "json").stdout))

    async def until(self, rollout: str, state: str) -> dict[str, Any]:
        async def has_come() -> bool:
            return bool((await asyncio.to_thread(self.rollout, rollout))["state"] == state)

        await eventually(has_come, SECONDS)
        return self.rollout(rollout)

    async def until_serving(self, names: tuple[str, ...], version: str) -> None:
        async def serves() -> bool:
            return {(await self.devices[name].health()).get("model_version") for name in names} == {version}

        await eventually(serves, SECONDS)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    data, ceremony, publisher = tmp_path / "hub", tmp_path / "ceremony", tmp_path / "publisher"
    assert run_hub("init", "--data", str(data)).returncode == 0
    (tmp_path / "hub.json").write_text(run_hub("trust", "request", "--data", str(data)).stdout)
    done("trust", "init", ceremony, "--online-keys", tmp_path / "hub.json")
    with serving(data) as hub:
        assert hub.operate("trust", "import", str(ceremony / "metadata")).returncode == 0
        assert run_hub("trust", "publisher", "builder", str(publisher), "--data", str(data)).returncode == 0
        devices = {name: Device(tmp_path / name, name) for name in ("canary-1", "canary-2", "plant-1")}
        async with AsyncExitStack() as stack:
            for name, device in devices.items():
                await device.enroll(hub, name.rpartition("-")[0])
                await stack.enter_async_context(running(device))
            yield Site(hub, ceremony, publisher, devices)


async def test_what_is_bad_stops_at_the_first_wave_and_whoever_took_it_goes_back(site: Site, tmp_path: Path) -> None:
    canaries, own = ("canary-1", "canary-2"), json.loads((BUNDLE / BUNDLE_FILE).read_text())["version"]

    # Weights that are noised: no device serves them for a moment.
    site.publish(repackaged(tmp_path / "2.0.0", noise=True))
    site.roll_out(tmp_path, "noised", "2.0.0")
    found = await site.until("noised", "ROLLED_BACK")
    assert any(figure in found["stateReason"] for figure in ("perplexity", "golden_share")), found["stateReason"]
    assert found["progress"][0]["failed"] >= 1
    assert "agents" not in found["progress"][1] or "proven" not in found["progress"][1]
    await site.until_serving(tuple(site.devices), own)

    # Sound weights that people call bad on one device: the other one, which has served it too, goes back as well.
    site.publish(repackaged(tmp_path / "3.0.0", noise=False))
    for name in canaries:
        await site.devices[name].ask(good=True)
    site.roll_out(tmp_path, "disliked", "3.0.0")
    await site.until_serving(canaries, "3.0.0")
    for _ in range(4):
        await site.devices["canary-2"].ask(good=True)
    for _ in range(6):
        await site.devices["canary-1"].ask(good=False)
    found = await site.until("disliked", "ROLLED_BACK")
    assert "negative_share_rise" in found["stateReason"], found["stateReason"]
    assert "canary-1" in found["stateReason"]
    await site.until_serving(tuple(site.devices), own)
    assert await site.devices["canary-2"].ask()
