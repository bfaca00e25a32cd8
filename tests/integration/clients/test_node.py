"""A stranger's client: Node, the protos, an operator's certificate, and nothing else of Seawall."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.config import Listeners
from seawall.hub.v1 import agent_pb2
from tests.fakes.hub import Identity, RunningHub, running_hub
from tests.fakes.hub_operator import Operator

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "node"
AGENT = "agents/plant-7"
INSTALL_SECONDS = 100

Line = dict[str, Any]


@pytest.fixture(scope="module")
def node() -> str:
    """The interpreter, with the client's packages installed."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        pytest.skip("node and npm are not here: install Node 18 or newer")
    if not (CLIENT / "node_modules" / ".package-lock.json").exists():
        done = subprocess.run([npm, "ci"], cwd=CLIENT, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
        if done.returncode:
            pytest.skip(f"npm cannot install the client's packages here: {done.stderr.splitlines()[-1:]}")
    return program


class Client:
    """`node watch.js`, line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> Line:
        assert self._process.stdout is not None
        text = await asyncio.wait_for(self._process.stdout.readline(), 30)
        return dict(json.loads(text))

    async def line_with(self, key: str, value: str) -> Line:
        """The next line that says so."""
        while True:
            line = await self.line()
            if line.get(key) == value:
                return line

    async def end(self) -> int:
        """Returns the status of a client that was told to end."""
        self._process.terminate()
        return await self._process.wait()

    async def ended(self) -> int:
        """Returns the status of one that ends by itself."""
        return await asyncio.wait_for(self._process.wait(), 30)


@asynccontextmanager
async def client(node: str, hub: str, folder: Path, *arguments: str) -> AsyncIterator[Client]:
    process = await asyncio.create_subprocess_exec(
        node, "watch.js", hub, str(folder), *arguments, cwd=CLIENT, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Client(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def fleet(path: Path) -> AsyncIterator[tuple[RunningHub, Operator]]:
    async with running_hub(path) as hub, hub.channel(hub.operator) as channel:
        await hub.enroll("plant-7")
        yield hub, Operator(channel)


def certificate_folder(path: Path, hub: RunningHub, identity: Identity) -> Path:
    """Only what a client needs, as somebody carries it to another machine."""
    path.mkdir()
    (path / "ca.crt").write_bytes(hub.ca_certificate)
    (path / "operator.crt").write_bytes(identity.certificate)
    (path / "operator.key").write_bytes(identity.key)
    return path


async def suspend(operator: Operator) -> None:
    await operator.agents.SuspendAgent(agent_pb2.SuspendAgentRequest(name=AGENT))


async def resume(operator: Operator) -> None:
    await operator.agents.ResumeAgent(agent_pb2.ResumeAgentRequest(name=AGENT))


async def test_a_stranger_lists_agents_sees_what_happens_and_goes_on_where_it_was(node: str, tmp_path: Path) -> None:
    async with fleet(tmp_path / "hub") as (hub, operator):
        folder = certificate_folder(tmp_path / "mine", hub, hub.operator)
        async with client(node, hub.mtls_target, folder) as first:
            assert await first.line() == {"agent": AGENT, "state": "ACTIVE", "labels": {}}
            assert "watching" in await first.line()
            await suspend(operator)
            seen = await first.line_with("event", "AGENT_SUSPENDED")
            assert seen["subject"] == AGENT
            assert await first.end() == 0
        await resume(operator)
        async with client(node, hub.mtls_target, folder, seen["sequence"]) as second:
            assert (await second.line())["state"] == "ACTIVE"
            missed = await second.line_with("event", "AGENT_RESUMED")
            assert int(missed["sequence"]) > int(seen["sequence"])


async def test_a_stranger_that_was_cut_off_misses_nothing_and_sees_nothing_twice(node: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with fleet(tmp_path / "hub") as (hub, operator):
            target = hub.mtls_target
            folder = certificate_folder(tmp_path / "mine", hub, hub.operator)
            stranger = await stack.enter_async_context(client(node, target, folder))
            await stranger.line_with("agent", AGENT)
            assert "watching" in await stranger.line()
            await suspend(operator)
            before = await stranger.line_with("event", "AGENT_SUSPENDED")
        again = Listeners(enrollment="127.0.0.1:0", mtls=target, metrics="")
        async with running_hub(tmp_path / "hub", listeners=again) as hub, hub.channel(hub.operator) as channel:
            await resume(Operator(channel))
            line = await stranger.line()
    assert (line["event"], int(line["sequence"])) == ("AGENT_RESUMED", int(before["sequence"]) + 1)


@pytest.mark.parametrize(
    ("role", "after", "code", "reason"),
    [("agent", "", "PERMISSION_DENIED", "ROLE_NOT_ALLOWED"), ("auditor", "999999", "OUT_OF_RANGE", "EVENTS_FORGOTTEN")],
)
async def test_a_refusal_has_a_reason_that_a_stranger_can_read(
    node: str, tmp_path: Path, role: str, after: str, code: str, reason: str
) -> None:
    async with fleet(tmp_path / "hub") as (hub, _):
        identity = await hub.enroll("plant-8") if role == "agent" else hub.issue(role)
        folder = certificate_folder(tmp_path / "mine", hub, identity)
        async with client(node, hub.mtls_target, folder, *([after] if after else [])) as stranger:
            while "error" not in (line := await stranger.line()):
                assert "agent" in line
            assert (line["error"]["code"], line["error"]["reason"]) == (code, reason)
            assert line["error"]["message"]
            assert await stranger.ended() == 1
