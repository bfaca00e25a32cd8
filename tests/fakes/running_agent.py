"""The agent as a process of its own, for tests that have a hub."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from tests.fakes.fleet_agent import eventually
from tests.fakes.tls import free_port


class AgentProcess:
    """`seawall-agent run` on a folder of its own."""

    program: tuple[str, ...] = ("-m", "agent")
    """What the interpreter is given before the command."""

    def __init__(self, folder: Path, bundle: Path, **variables: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(folder / "nobody-listens"),
            "SEAWALL_AGENT_STATE_FOLDER": str(folder / "state"),
            "SEAWALL_AGENT_MODEL__BUNDLE": str(bundle),
            "SEAWALL_AGENT_HTTP__PORT": self.url.rpartition(":")[2],
            "SEAWALL_AGENT_MQTT__PORT": str(free_port()),
            **variables,
        }
        self._log = folder / "agent.log"
        self.process: asyncio.subprocess.Process

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *self.program, "run", env=self._environment, stdout=log, stderr=log
            )

    async def command(self, *arguments: str) -> None:
        """Runs another of its commands."""
        words = (sys.executable, *self.program, *arguments)
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(*words, env=self._environment, stdout=log, stderr=log)
            assert await process.wait() == 0, self._log.read_text()

    async def health(self) -> dict[str, object]:
        assert self.process.returncode is None, self._log.read_text()
        try:
            async with httpx2.AsyncClient() as client:
                return dict((await client.get(f"{self.url}/healthz")).json())
        except httpx2.TransportError:
            return {}

    async def has_session(self) -> bool:
        return (await self.health()).get("session") == "open"

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def running(agent: AgentProcess) -> AsyncIterator[AgentProcess]:
    await agent.start()
    try:
        await eventually(agent.has_session, 60)
        yield agent
    finally:
        await agent.kill()
