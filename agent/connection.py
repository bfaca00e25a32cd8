"""One session, from Hello to its end."""

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from agent.commands import Commands
from agent.desired import Desired
from agent.hub_stream import Ended, HubStream
from agent.identity.authorities import ToldAuthorities
from agent.releases import Releases
from agent.store.commands import CommandEntry, State
from seawall.hub.v1 import session_pb2 as pb
from seawall.hub.v1.agent_pb2 import AgentReport
from seawall.hub.v1.command_pb2 import Command
from seawall.hub.v1.escalation_pb2 import HubProfile
from seawall.hub.v1.rollout_pb2 import ReleaseReport

MISSED_HEARTBEATS = 3
"""So many unanswered ones mean that nobody is there, though the connection stands."""

_SHORTEST_INTERVAL_SECONDS = 0.05
_LONGEST_INTERVAL_SECONDS = 3600.0
_LATEST_TIME = datetime(9000, 1, 1, tzinfo=UTC)
"""However long a session lasts, what is added to this is still a time."""


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """How long things take; seconds.

    Args:
        welcome: that the hub is given to answer Hello.
        first_delay: the bound of the delay after a session that worked; it doubles with every failure.
        longest_delay: where it stops doubling.
        heartbeat_jitter: the share by which intervals differ.
    """

    welcome: float = 20.0
    first_delay: float = 5.0
    longest_delay: float = 30.0
    heartbeat_jitter: float = 0.1

    def delay_bound(self, failures: int) -> float:
        """Returns up to how many seconds the delay after so many failures in a row is drawn."""
        return min(self.longest_delay, self.first_delay * 2.0 ** min(failures, 16))


@dataclass(frozen=True, slots=True)
class SessionParts:
    """What a session is held with.

    Args:
        report: returns what the agent says of itself now.
        desired: applies what is wanted.
        authorities: is told of the hub's CAs.
        commands: does what is told.
        releases: keeps what rollouts want, and tells how far this agent is.
        randomness: for jitter.
        times: how long things take.
        heartbeat_answered: told how many seconds the hub took for the last heartbeat.
        elapsed: returns seconds that no change of the clock moves.
        told_hub: told what the hub says of itself; None: nothing.
    """

    report: Callable[[], AgentReport]
    desired: Desired
    authorities: ToldAuthorities
    commands: Commands
    releases: Releases
    randomness: random.Random
    times: SessionTimes = SessionTimes()
    heartbeat_answered: Callable[[float], None] = lambda _: None
    elapsed: Callable[[], float] = monotonic
    told_hub: Callable[[HubProfile | None], None] = lambda _: None


class Connection:
    """One session.

    Args:
        stream: not used yet.
        parts: what it is held with.
    """

    def __init__(self, stream: HubStream, parts: SessionParts) -> None:
        self._stream = stream
        self._parts = parts
        self._outgoing: asyncio.Queue[pb.ConnectRequest] = asyncio.Queue()
        self._unreceived: defaultdict[str, deque[State]] = defaultdict(deque)
        self._heartbeat = self._answered = 0
        self._beaten_at = 0.0
        self._reported: AgentReport | None = None
        self._hears_reports = False
        self._welcome_time = datetime.fromtimestamp(0, UTC)
        self._welcomed = 0.0

    @property
    def lasted(self) -> bool:
        """Whether the hub has answered a heartbeat: a welcome alone may come from a hub that falls at once."""
        return self._answered > 0

    async def greet(self) -> float:
        """Says Hello. Returns the interval of heartbeats, seconds.

        Raises:
            Ended: the hub does not answer it.
        """
        self._reported = self._parts.report()
        hello = pb.Hello(report=self._reported, applied_generation=self._parts.desired.generation)
        try:
            async with asyncio.timeout(self._parts.times.welcome):
                await self._stream.write(pb.ConnectRequest(hello=hello))
                answer = await self._stream.read()
        except TimeoutError:
            raise Ended("no-welcome") from None
        if not answer.HasField("welcome"):
            raise Ended("no-welcome")
        try:
            hub_time = answer.welcome.hub_time.ToDatetime(UTC)
        except (ValueError, OverflowError):
            raise Ended("welcome-invalid") from None
        if hub_time > _LATEST_TIME:
            raise Ended("welcome-invalid")
        self._parts.authorities.tell(tuple(answer.welcome.ca_key_hashes))
        self._hears_reports = answer.welcome.HasField("hub")  # a hub of an earlier version would end the session
        self._parts.told_hub(answer.welcome.hub if answer.welcome.HasField("hub") else None)
        self._welcome_time, self._welcomed = hub_time, self._parts.elapsed()
        interval = answer.welcome.heartbeat_interval.ToNanoseconds() / 1e9
        return min(_LONGEST_INTERVAL_SECONDS, max(_SHORTEST_INTERVAL_SECONDS, interval))

    async def hold(self, interval: float) -> None:
        """Goes on until the session is over.

        Args:
            interval: of heartbeats, seconds.

        Raises:
            Ended: it is over.
            SeawallError: the store does not take what has come.
        """
        await first_to_end(self._write(), self._beat(interval), self._tell_outcomes(), self._tell_releases(), self._read())

    async def _write(self) -> None:
        while True:
            await self._stream.write(await self._outgoing.get())

    async def _read(self) -> None:
        while True:
            await self._handle(await self._stream.read())

    async def _beat(self, interval: float) -> None:
        jitter = self._parts.times.heartbeat_jitter
        while self._heartbeat - self._answered < MISSED_HEARTBEATS:
            self._heartbeat += 1
            self._tell_report()
            self._beaten_at = monotonic()
            self._outgoing.put_nowait(pb.ConnectRequest(heartbeat=pb.Heartbeat(number=self._heartbeat)))
            await asyncio.sleep(interval * self._parts.randomness.uniform(1 - jitter, 1 + jitter))
        raise Ended("heartbeats-unanswered")

    def _tell_report(self) -> None:
        """Says what has changed of the agent since it was said last."""
        report = self._parts.report()
        if self._hears_reports and report != self._reported:
            self._reported = report
            self._outgoing.put_nowait(pb.ConnectRequest(report=report))

    async def _tell_outcomes(self) -> None:
        """Tells the hub how far each command is, again in every session until it has received the end."""
        told: set[tuple[str, State]] = set()
        while True:
            changed = self._parts.commands.changed
            for entry in await self._parts.commands.outcomes():
                if (entry.name, entry.state) not in told:
                    told.add((entry.name, entry.state))
                    self._unreceived[entry.name].append(entry.state)
                    self._outgoing.put_nowait(pb.ConnectRequest(command=_outcome(entry)))
            await changed.wait()

    async def _tell_releases(self) -> None:
        """Tells the hub how far this agent is with rollouts: at the beginning of each session, and whenever it changes."""
        told: dict[str, ReleaseReport] = {}
        while True:
            changed = self._parts.releases.changed
            for report in self._parts.releases.reports():
                if told.get(report.rollout) != report:
                    told[report.rollout] = report
                    self._outgoing.put_nowait(pb.ConnectRequest(release=report))
            await changed.wait()

    async def _handle(self, response: pb.ConnectResponse) -> None:
        match response.WhichOneof("message"):
            case "heartbeat":
                if self._answered < response.heartbeat.number == self._heartbeat:
                    self._parts.heartbeat_answered(monotonic() - self._beaten_at)
                self._answered = max(self._answered, min(response.heartbeat.number, self._heartbeat))
            case "desired_state":
                outcome = await self._parts.desired.apply(response.desired_state)
                self._outgoing.put_nowait(pb.ConnectRequest(configuration=outcome))
            case "authorities":
                self._parts.authorities.tell(tuple(response.authorities.ca_key_hashes))
            case "command":
                await self._parts.commands.take(response.command, self._hub_now())
            case "desired_release":
                await self._parts.releases.want(response.desired_release)
            case "outcome_received":
                await self._received(response.outcome_received.command)

    async def _received(self, name: str) -> None:
        """The hub acknowledges a command's outcomes in the order in which they were sent."""
        if self._unreceived[name]:
            await self._parts.commands.received(name, self._unreceived[name].popleft(), self._hub_now())

    def _hub_now(self) -> datetime:
        """Returns the time by the hub's clock; this machine's own may be set right, or wrong, while the session lasts."""
        return self._welcome_time + timedelta(seconds=self._parts.elapsed() - self._welcomed)


async def first_to_end(*works: Coroutine[Any, Any, None]) -> None:
    """Runs works side by side until one ends; the others are cancelled, and what it raised is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _outcome(entry: CommandEntry) -> pb.CommandOutcome:
    state = Command.State.ValueType(int(entry.state))
    return pb.CommandOutcome(name=entry.name, state=state, output=entry.output, error=entry.error)
