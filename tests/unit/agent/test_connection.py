"""A session's time is the hub's, whatever this machine's clock does meanwhile."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.commands import Commands
from agent.connection import Connection, SessionParts
from agent.desired import Desired
from agent.hub_stream import Ended, HubStream
from agent.identity.authorities import ToldAuthorities
from agent.narrowing import OwnLimits
from agent.releases import Releases
from agent.store.commands import CommandEntry, CommandStore
from agent.store.database import Database
from agent.store.desired import DesiredStore
from agent.store.rollouts import RolloutStore
from seawall.hub.v1 import session_pb2 as pb
from seawall.hub.v1.agent_pb2 import AgentReport
from seawall.hub.v1.command_pb2 import Command
from seawall.hub.v1.escalation_pb2 import HubProfile

HUB_TIME = datetime(2031, 5, 1, tzinfo=UTC)
"""No machine that runs this has the same."""


class ScriptedStream(HubStream):
    """Says what it is given, then that the hub has gone."""

    def __init__(self, *responses: pb.ConnectResponse) -> None:
        self._responses = list(responses)
        self.sent: list[pb.ConnectRequest] = []

    async def read(self) -> pb.ConnectResponse:
        if not self._responses:
            raise Ended("hub-ended")
        return self._responses.pop(0)

    async def write(self, request: pb.ConnectRequest) -> None:
        """Everything is sent."""
        self.sent.append(request)


def welcome(hub: HubProfile | None = None) -> pb.ConnectResponse:
    result = pb.Welcome(hub=hub)
    result.heartbeat_interval.FromTimedelta(timedelta(seconds=30))
    result.hub_time.FromDatetime(HUB_TIME)
    return pb.ConnectResponse(welcome=result)


def command(name: str, expires_in: timedelta) -> pb.ConnectResponse:
    result = Command(name=f"agents/a1/commands/{name}", action=Command.FORGET_ANSWERS)
    result.expire_time.FromDatetime(HUB_TIME + expires_in)
    return pb.ConnectResponse(command=result)


async def test_commands_expire_by_the_hubs_clock_and_the_time_that_has_passed_since(tmp_path: Path) -> None:
    async def forget(entry: CommandEntry) -> str:
        return entry.name

    database, passed = Database(tmp_path / "agent.db"), [1000.0]
    store = CommandStore(database)
    desired = Desired(DesiredStore(database), OwnLimits(), lambda _: None)
    commands = Commands(store, "agents/a1", {int(Command.FORGET_ANSWERS): forget}, restart=None)
    parts = SessionParts(
        AgentReport, desired, ToldAuthorities(), commands, Releases(RolloutStore(database)), random.Random(1), elapsed=lambda: passed[0]
    )
    stream = ScriptedStream(welcome(), command("late", timedelta(hours=1)), command("in-time", timedelta(hours=3)))
    connection = Connection(stream, parts)
    try:
        interval = await connection.greet()
        passed[0] += 7200
        await asyncio.gather(connection.hold(interval), return_exceptions=True)
        assert [entry.name for entry in await store.begun()] == ["agents/a1/commands/in-time"]
    finally:
        database.close()


@pytest.mark.parametrize(("hub", "reports"), [(HubProfile(region="de-fra"), ["sha256:2"]), (None, [])])
async def test_what_has_changed_of_the_agent_is_said_once_to_a_hub_that_hears_it(
    tmp_path: Path, hub: HubProfile | None, reports: list[str]
) -> None:
    database, told = Database(tmp_path / "agent.db"), list[HubProfile | None]()
    digests = iter(["sha256:1", "sha256:2"])
    last = AgentReport()

    def report() -> AgentReport:
        nonlocal last
        last = AgentReport(policy_digest=next(digests, last.policy_digest))
        return last

    parts = SessionParts(
        report,
        Desired(DesiredStore(database), OwnLimits(), lambda _: None),
        ToldAuthorities(),
        Commands(CommandStore(database), "agents/a1", {}, restart=None),
        Releases(RolloutStore(database)),
        random.Random(1),
        told_hub=told.append,
    )
    stream = ScriptedStream(welcome(hub), pb.ConnectResponse(heartbeat=pb.HeartbeatReply(number=1)))
    connection = Connection(stream, parts)
    try:
        interval = await connection.greet()
        await asyncio.gather(connection.hold(interval), return_exceptions=True)
        await asyncio.gather(connection.hold(interval), return_exceptions=True)
    finally:
        database.close()
    assert stream.sent[0].hello.report.policy_digest == "sha256:1"
    assert [request.report.policy_digest for request in stream.sent if request.HasField("report")] == reports
    assert told == [hub]
