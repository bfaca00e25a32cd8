"""The operator's commands for rollouts, against a hub and agents that run."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from contract.errors import SeawallError
from hub.__main__ import app
from tests.fakes.fleet_agent import eventually
from tests.fakes.hub import RunningHub, running_hub
from tests.fakes.release_agent import Way, enroll_all, fleet, publish

VERSION = "models/tiny/versions/1.0.0"


class Console:
    """Runs commands as an operator does."""

    def __init__(self, hub: RunningHub) -> None:
        self._variables = {"SEAWALL_HUB_LISTENERS__MTLS": hub.mtls_target, "COLUMNS": "200"}
        self._data = ["--data", str(hub.folder.path)]

    async def run(self, *arguments: str) -> str:
        runner = CliRunner(env=self._variables)
        result = await asyncio.to_thread(runner.invoke, app, ["rollouts", *arguments, *self._data], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    async def read(self, *arguments: str) -> Any:
        return json.loads(await self.run(*arguments, "--output", "json"))

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        """A process of its own."""
        python = ["env", "--default-signal=INT", sys.executable]  # which a shell in the background would have it ignore
        command = [*python, "-m", "hub", "rollouts", *arguments, *self._data]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **self._variables})


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub") as running:
        await publish(running, "1.0.0", "2.0.0")
        yield running


async def waits(console: Console) -> bool:
    return bool((await console.read("get", "june"))["state"] == "WAITING_FOR_APPROVAL")


async def test_a_rollout_is_made_watched_approved_and_rolled_back(hub: RunningHub) -> None:
    console = Console(hub)
    identities = await enroll_all(hub, ["oslo-1"], site="oslo") | await enroll_all(hub, ["bergen-1"], site="bergen")
    async with fleet(hub, identities):
        made = await console.run("create", "june", "--version", VERSION, "--wave", "labels.site = oslo", "--wave", "approve")
        assert "rollouts watch june" in made
        watching = console.begin("watch", "june")
        await eventually(lambda: waits(console), 60)
        assert "waits for approval" in await console.run("get", "june")
        assert "ACTIVE" in await console.run("approve", "june", "--wave", "1", "--reason", "looks good")
        lines = (await asyncio.to_thread(watching.communicate, timeout=60))[0].splitlines()
        assert lines[-1].startswith("rollouts/june COMPLETED")
        assert "wave 1: 1 proven of 1" in lines[-1]
        assert [one["name"] for one in await console.read("list")] == ["rollouts/june"]
        assert VERSION in await console.run("list")
        agents = await console.read("agents", "june", "--state", "proven")
        assert [one["agent"] for one in agents] == ["agents/bergen-1", "agents/oslo-1"]
        assert "2 agents" in await console.run("agents", "june")
        assert "ROLLING_BACK (bad answers)" in await console.run("roll-back", "june", "--reason", "bad answers")
        states = [json.loads(line)["state"] for line in (await console.run("watch", "june", "--output", "json")).splitlines()]
        assert states[-1] == "ROLLED_BACK"


async def test_a_rollout_is_paused_resumed_and_cancelled_and_a_watch_ends_with_ctrl_c(hub: RunningHub) -> None:
    console = Console(hub)
    identities = await enroll_all(hub, ["a"])
    async with fleet(hub, identities, {"a": {VERSION: Way.IGNORE}}):
        limits = ("--max-failed", "1", "--max-learned-negative-share-rise", "0.05")
        await console.run("create", "june", "--version", VERSION, "--window", "00:00-00:00", "--wave", "", *limits)
        gates = (await console.read("get", "june"))["gates"]
        assert gates == {"maxFailed": 1, "maxFailedShare": 1.0, "maxLearnedNegativeShareRise": 0.05}
        assert "PAUSED (lunch)" in await console.run("pause", "june", "--reason", "lunch")
        assert "ACTIVE" in await console.run("resume", "june")
        watch = console.begin("watch", "june")
        assert watch.stdout is not None
        first = await asyncio.to_thread(watch.stdout.readline)
        assert first.startswith("rollouts/june ACTIVE")
        watch.send_signal(signal.SIGINT)
        _, said = await asyncio.to_thread(watch.communicate, timeout=30)
        assert (watch.returncode, said) == (130, "")
        assert "CANCELLED" in await console.run("cancel", "june")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "june"), "--version models/MODEL/versions/VERSION"),
        (("create", "june", "--version", "models/tiny/versions/9"), "is not published"),
        (("create", "june", "--version", VERSION, "--wave", "soak=long"), "no duration"),
        (("get", "none"), "no rollout none"),
        (("agents", "june", "--state", "good"), "use WAITING, FETCHING"),
        (("watch", "none"), "no rollout none"),
    ],
)
async def test_what_is_refused_says_what_to_write(hub: RunningHub, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(SeawallError) as raised:
        await Console(hub).run(*arguments)
    assert said in raised.value.message
