"""Which process of the hub is there, and which agents' sessions each holds. The store knows; every process answers alike.

A process says that it is there by counting on. One whose count stands still for long, by the clock of another, is given up, and its agents
are connected no more: no two machines' clocks are compared.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from sqlalchemy import Connection

from contract.errors import Unavailable
from contract.identity import agent_name
from hub.clock import Clock
from hub.fleet.delivery import Delivery
from hub.fleet.events import Journal
from hub.fleet.sessions import Sessions
from hub.store import replicas
from hub.store.database import Database
from hub.store.events import NewEvent

BEAT_SECONDS = 5.0
DEAD_SECONDS = 15.0
"""A process that has not counted on for so long is given up."""

LOST_SECONDS = 30.0
"""A process that has not reached a shared store for so long ends its sessions: another process may reach it."""

CONNECTED = "AGENT_CONNECTED"
DISCONNECTED = "AGENT_DISCONNECTED"

CHUNK = 1000
"""Agents asked for at once."""


class Presence:
    """This process among the others.

    Args:
        database: knows all processes.
        journal: told who comes and goes.
        sessions: of this process.
        delivery: looks again whether they may stand.
        replica_id: of this process; another at each start.
        clock: the time, in UTC.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal,
        sessions: Sessions,
        delivery: Delivery,
        replica_id: str,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._journal = journal
        self._sessions = sessions
        self._delivery = delivery
        self._replica_id = replica_id
        self._clock = clock
        self._monotonic = monotonic
        self._moves: list[tuple[str, NewEvent]] = []
        self._counted: dict[str, tuple[int, float]] = {}
        self._reached_at = monotonic()

    async def start(self) -> None:
        """Joins the others. Where the database is not shared there is none: what is left of an earlier process is given up at once.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        await self._journal.write(self._join)

    def connected(self, agent_id: str) -> None:
        """Notes that an agent's session is open; kept with the next `flush`."""
        self._moves.append((agent_id, NewEvent(self._clock(), CONNECTED, agent_name(agent_id))))

    def left(self, agent_id: str) -> None:
        """Notes that an agent's session has ended; kept with the next `flush`."""
        self._moves.append((agent_id, NewEvent(self._clock(), DISCONNECTED, agent_name(agent_id))))

    async def flush(self) -> None:
        """Keeps who has come and gone.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away; it is kept the next time.
        """
        moves, self._moves = self._moves, []
        if not moves:
            return
        left = dict.fromkeys(agent_id for agent_id, event in moves if event.type == DISCONNECTED)
        gone = [agent_id for agent_id in left if self._sessions.get(agent_id) is None]
        try:
            await self._journal.write(partial(self._keep, moves, list(left), gone))
        except Unavailable:
            self._moves = moves + self._moves
            raise

    async def beat(self) -> None:
        """Says that this process is there, and gives up those that are not.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        try:
            was_there, beats = await self._database.write(self._count)
        except Unavailable:
            if self._database.is_shared and self._monotonic() - self._reached_at > LOST_SECONDS:
                self._sessions.close()
            raise
        self._reached_at = self._monotonic()
        if not was_there:
            self._delivery.mark()
        silent = self._silent(beats)
        if silent:
            await self._journal.write(partial(self._give_up, silent))

    async def stop(self) -> None:
        """Leaves the others.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        await self.flush()
        await self._journal.write(lambda connection: (None, self._remove([self._replica_id], connection)))

    def _join(self, connection: Connection) -> tuple[None, list[NewEvent]]:
        earlier = [] if self._database.is_shared else list(replicas.beats(connection))
        replicas.insert(connection, self._replica_id, self._clock())
        return None, self._remove(earlier, connection)

    def _count(self, connection: Connection) -> tuple[bool, Mapping[str, int]]:
        was_there = replicas.beat(connection, self._replica_id)
        if not was_there:
            replicas.insert(connection, self._replica_id, self._clock())
        return was_there, replicas.beats(connection)

    def _silent(self, beats: Mapping[str, int]) -> dict[str, int]:
        """Returns the others whose count stands still, with the count."""
        now = self._monotonic()
        before, self._counted = self._counted, {}
        for replica_id, count in beats.items():
            seen = before.get(replica_id)
            self._counted[replica_id] = seen if seen is not None and seen[0] == count else (count, now)
        return {
            replica_id: count
            for replica_id, (count, since) in self._counted.items()
            if replica_id != self._replica_id and now - since > DEAD_SECONDS
        }

    def _give_up(self, silent: Mapping[str, int], connection: Connection) -> tuple[None, list[NewEvent]]:
        """Looks once more, now that nobody else writes."""
        beats = replicas.beats(connection)
        return None, self._remove([replica_id for replica_id, count in silent.items() if beats.get(replica_id) == count], connection)

    def _remove(self, gone: Collection[str], connection: Connection) -> list[NewEvent]:
        now = self._clock()
        return [NewEvent(now, DISCONNECTED, agent_name(agent_id)) for agent_id in replicas.remove(connection, gone)]

    def _keep(
        self, moves: Sequence[tuple[str, NewEvent]], left: Sequence[str], gone: Sequence[str], connection: Connection
    ) -> tuple[None, list[NewEvent]]:
        """An agent whose session another process holds by now has not left the hub."""
        held: set[str] = set()
        for start in range(0, len(left), CHUNK):
            held |= replicas.held(connection, self._replica_id, left[start : start + CHUNK])
        replicas.release(connection, self._replica_id, [agent_id for agent_id in gone if agent_id in held])
        return None, [event for agent_id, event in moves if event.type == CONNECTED or agent_id in held]
