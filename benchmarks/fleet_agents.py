"""Simulated agents for `benchmarks/fleet.py`, thousands in one process.

Each has its own certificate, channel and stream, and keeps to the real agent's rules: its channel options, heartbeat jitter, limit of
missed heartbeats, and delay before the next try. It does what it is told at once, and keeps nothing on a disk.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agent.connection import MISSED_HEARTBEATS, SessionTimes
from agent.hub_channel import open_channel
from agent.hub_stream import Ended, HubStream
from agent.identity.files import Identity
from seawall.hub.v1 import session_pb2 as pb
from seawall.hub.v1.agent_pb2 import AgentReport
from seawall.hub.v1.command_pb2 import Command

TIMES = SessionTimes()
REPORT = AgentReport(
    version="0.1.0", model="models/simulated/versions/1", model_digest="sha256:" + "0" * 64, policy_digest="sha256:" + "1" * 64
)


@dataclass(frozen=True, slots=True)
class Beat:
    """One heartbeat that was answered.

    Args:
        sent: when, on the monotonic clock that all processes share.
        seconds: until the answer had come.
    """

    sent: float
    seconds: float


@dataclass
class Tally:
    """What the agents of one process have seen; times are of the monotonic clock.

    Args:
        welcomes: when each agent's last session opened, by its id.
        open: sessions now.
        beats: answered heartbeats.
        ended: how often sessions ended, by why; and heartbeats that were not answered before the next was due.
        commands: when each command came.
        kept: when the hub said that it keeps the outcome.
    """

    welcomes: dict[str, float] = field(default_factory=dict)
    open: int = 0
    beats: list[Beat] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    commands: list[float] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)


class SimulatedAgent:
    """One agent.

    Args:
        identity: its own.
        tally: of its process.
        randomness: for jitter.
    """

    def __init__(self, identity: Identity, tally: Tally, randomness: random.Random) -> None:
        self._identity = identity
        self._tally = tally
        self._randomness = randomness
        self._turn = asyncio.Lock()
        self._number = self._answered = 0
        self._sent = 0.0
        self._ends: set[str] = set()
        self.welcomed = asyncio.Event()

    async def run(self) -> None:
        """Opens one session after the other, until it is cancelled."""
        channel = open_channel(self._identity)
        failures = 0
        try:
            while True:
                ended = await self._hold(HubStream(channel))
                self._tally.ended[ended.why] += 1
                failures = 0 if self._answered else failures + 1
                await asyncio.sleep(ended.wait_seconds + self._randomness.uniform(0, TIMES.delay_bound(failures)))
        finally:
            await channel.close()

    async def _hold(self, stream: HubStream) -> Ended:
        """Returns why the session has ended."""
        self._number = self._answered = 0
        beating: asyncio.Task[None] | None = None
        try:
            interval = await self._greet(stream)
            beating = asyncio.create_task(self._beat(stream, interval))
            while True:
                await self._handle(stream, await stream.read())
        except Ended as ended:
            unanswered = self._number - self._answered >= MISSED_HEARTBEATS
            return Ended("heartbeats-unanswered") if unanswered else ended
        finally:
            if beating is not None:
                self._tally.open -= 1
                beating.cancel()
            stream.cancel()

    async def _greet(self, stream: HubStream) -> float:
        try:
            async with asyncio.timeout(TIMES.welcome):
                await stream.write(pb.ConnectRequest(hello=pb.Hello(report=REPORT)))
                answer = await stream.read()
        except TimeoutError:
            raise Ended("no-welcome") from None
        self._tally.welcomes[self._identity.agent_id] = time.monotonic()
        self._tally.open += 1
        self.welcomed.set()
        return answer.welcome.heartbeat_interval.ToNanoseconds() / 1e9

    async def _beat(self, stream: HubStream, interval: float) -> None:
        try:
            while self._number - self._answered < MISSED_HEARTBEATS:
                if self._answered < self._number:
                    self._tally.ended["heartbeat-late"] += 1
                self._number += 1
                self._sent = time.monotonic()
                await self._write(stream, pb.ConnectRequest(heartbeat=pb.Heartbeat(number=self._number)))
                jitter = TIMES.heartbeat_jitter
                await asyncio.sleep(interval * self._randomness.uniform(1 - jitter, 1 + jitter))
        except Ended:
            return  # the reader says why
        stream.cancel()

    async def _handle(self, stream: HubStream, response: pb.ConnectResponse) -> None:
        now = time.monotonic()
        match response.WhichOneof("message"):
            case "heartbeat":
                self._answered = response.heartbeat.number
                if self._answered == self._number:
                    self._tally.beats.append(Beat(self._sent, now - self._sent))
            case "command":
                self._tally.commands.append(now)
                self._ends.add(response.command.name)
                for state, output in ((Command.BEGUN, ""), (Command.SUCCEEDED, "all is well")):
                    outcome = pb.CommandOutcome(name=response.command.name, state=state, output=output)
                    await self._write(stream, pb.ConnectRequest(command=outcome))
            case "outcome_received":
                if response.outcome_received.command in self._ends:  # the first is of BEGUN
                    self._ends.discard(response.outcome_received.command)
                else:
                    self._tally.kept.append(now)

    async def _write(self, stream: HubStream, request: pb.ConnectRequest) -> None:
        async with self._turn:
            await stream.write(request)


class Load:
    """The agents of one process.

    Args:
        identities: theirs.
        seed: of all randomness.
    """

    def __init__(self, identities: Sequence[Identity], seed: int) -> None:
        self._identities = identities
        self._randomness = random.Random(seed)
        self._tally = Tally()
        self._agents: set[asyncio.Task[None]] = set()
        self._starting: asyncio.Task[None] | None = None

    async def start(self, address: str, at_once: int) -> None:
        """Begins to connect all to a hub, so many at a time, and goes on with it beside what else is asked."""
        self._starting = asyncio.create_task(self._start(address, at_once))

    async def _start(self, address: str, at_once: int) -> None:
        waiting = (replace(identity, hub_address=address) for identity in self._identities)

        async def connect() -> None:
            for identity in waiting:
                agent = SimulatedAgent(identity, self._tally, self._randomness)
                self._agents.add(asyncio.create_task(agent.run()))
                await agent.welcomed.wait()

        await asyncio.gather(*(connect() for _ in range(at_once)))

    async def opened(self, since: float) -> tuple[int, float]:
        """Returns how many agents have a session that opened since a time, and when the last of these opened."""
        times = [welcomed for welcomed in self._tally.welcomes.values() if welcomed >= since]
        return len(times), max(times, default=since)

    async def commands(self) -> tuple[int, float, int, float]:
        """Returns how many commands have come, when the last came, how many outcomes the hub keeps, and since when the last."""
        come, kept = self._tally.commands, self._tally.kept
        return len(come), max(come, default=0.0), len(kept), max(kept, default=0.0)

    async def beats(self, since: float, until: float) -> list[Beat]:
        """Returns the answered heartbeats that were sent between two times."""
        return [beat for beat in self._tally.beats if since <= beat.sent < until]

    async def ended(self) -> Counter[str]:
        """Returns why sessions have ended, and late heartbeats, since this was last asked."""
        ended, self._tally.ended = self._tally.ended, Counter()
        return ended

    async def stop(self) -> None:
        """Ends all."""
        tasks = [*self._agents, *([self._starting] if self._starting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
