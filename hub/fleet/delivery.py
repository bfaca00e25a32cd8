"""Brings agents what is wanted of them, and their commands, over the sessions that are open; ends sessions that may stand no more.

Whatever has changed of an agent, by whichever process of the hub: it is marked here, and the store is asked.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from time import monotonic

import structlog
from sqlalchemy import Connection

from contract.errors import NotPermitted, Reason, SeawallError, Unavailable
from hub.clock import Clock
from hub.fleet.calls import Calls
from hub.fleet.directory import shut_out
from hub.fleet.messages import command_message
from hub.fleet.sessions import Session, Sessions, expired, lost, replaced
from hub.store import agents, commands
from hub.store.agents import ACTIVE, Due
from hub.store.commands import CommandRecord
from hub.store.database import Database
from seawall.hub.v1 import group_pb2, rollout_pb2, session_pb2

CHUNK = 200
"""Agents looked up in one transaction."""

RETRY_SECONDS = 1.0

LOOK_SECONDS = 10.0
"""All are looked at this often, in case something has changed of which nobody said so. Of 10,000 it takes a tenth of a second."""

_log = structlog.get_logger(__name__)


class Delivery:
    """One task for all agents.

    Args:
        database: knows what is due.
        sessions: where it goes.
        replica_id: of this process of the hub.
        clock: the time, in UTC.
    """

    def __init__(self, database: Database, sessions: Sessions, replica_id: str, clock: Clock) -> None:
        self._database = database
        self._sessions = sessions
        self._replica_id = replica_id
        self._clock = clock
        self._calls = Calls()
        self._due: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()

    def mark(self, agent_ids: Iterable[str] | None = None) -> None:
        """Says that something may have changed of these agents; None: of any. Those without a session get it when they connect."""
        now = monotonic()
        if agent_ids is None:
            agent_ids = (*self._sessions.agent_ids(), *self._calls.agent_ids())
        for agent_id in agent_ids:
            if self._sessions.get(agent_id) is not None or agent_id in self._calls:
                self._due.setdefault(agent_id, now)
        if self._due:
            self._changed.set()

    async def look(self) -> None:
        """Has all agents looked at."""
        self.mark()

    @contextmanager
    def call(self, agent_id: str) -> Iterator[None]:
        """Holds a call that streams; it is ended when its agent is shut out, also if that was between its admission and now.

        Raises:
            NotPermitted: AGENT_SUSPENDED, AGENT_RETIRED, AGENT_NOT_FOUND.
        """
        with self._calls.open(agent_id):
            self.mark([agent_id])
            yield

    async def end_stale(self, silence_seconds: float) -> None:
        """Ends sessions whose certificate has expired, and those on which nothing has come for so long."""
        self._sessions.end_stale(self._clock(), silence_seconds)

    async def run(self) -> None:
        """Delivers, until it is cancelled, or breaks: what it held stays due, for whoever begins it anew."""
        while True:
            await self._changed.wait()
            chunk = list(islice(self._due, CHUNK))
            try:
                await self._deliver(chunk)
            except Unavailable as error:
                self.mark(chunk)
                _log.warning("delivery waits for the store", reason=error.reason)
                await asyncio.sleep(RETRY_SECONDS)
            if not self._due:
                self._changed.clear()

    async def _deliver(self, agent_ids: list[str]) -> None:
        since = {agent_id: self._due.pop(agent_id) for agent_id in agent_ids}
        now, ready = self._clock(), self._ready(agent_ids)
        try:
            found, told = await self._database.read(lambda connection: _look_up(connection, agent_ids, now))
        except Exception:
            self._due.update(since)  # due for as long as it was
            raise
        failed: list[Exception] = []
        for agent_id in agent_ids:
            try:
                self._end_call(agent_id, found.get(agent_id))
                session = ready.get(agent_id)
                if session is not None and session is self._sessions.get(agent_id):
                    self._bring(session, found.get(agent_id), told.get(agent_id, []), since[agent_id])
            except Exception as error:  # noqa: BLE001  # raised below, when the others have theirs
                self._due[agent_id] = since[agent_id]
                failed.append(error)
        if failed:
            raise failed[0]

    def _ready(self, agent_ids: Iterable[str]) -> dict[str, Session]:
        """Returns the sessions that what is read from now on holds for; one welcomed later is marked again then.

        What is read before may say that no process holds it, and it would be ended for nothing.
        """
        found = ((agent_id, self._sessions.get(agent_id)) for agent_id in agent_ids)
        return {agent_id: session for agent_id, session in found if session is not None and session.ready}

    def _end_call(self, agent_id: str, due: Due | None) -> None:
        if due is None or due.state != ACTIVE:
            self._calls.end(agent_id, _removed() if due is None else shut_out(due.state))

    def _bring(self, session: Session, due: Due | None, told: list[CommandRecord], since: float) -> None:
        error = _removed() if due is None else self._objection(session, due)
        if error is not None:
            session.end(error)
        elif due is not None:
            self._start(session, due, told, since)

    def _objection(self, session: Session, due: Due) -> SeawallError | None:
        """Returns why a session of ours may not stand any more, if so."""
        if due.state != ACTIVE:
            return shut_out(due.state)
        if session.valid_until is not None and self._clock() > session.valid_until:
            return expired()
        if due.replica_id != self._replica_id:
            return lost() if due.replica_id is None else replaced()
        return None

    def _start(self, session: Session, due: Due, told: list[CommandRecord], since: float) -> None:
        """Sends in a task of its own, one a session: a slow agent holds nobody up but itself."""
        if session.sending:
            session.again = True
            return
        messages = _messages(session, due, told)
        if not messages:
            return
        session.sending = True
        task = asyncio.create_task(self._send(session, messages, since))
        self._sending.add(task)
        task.add_done_callback(self._ended)

    async def _send(self, session: Session, messages: list[session_pb2.ConnectResponse], since: float) -> None:
        counts = self._sessions.counts
        for message in messages:
            await session.send(message)
            counts.delivered[message.WhichOneof("message") or ""] += 1
        counts.delivery_seconds.observe(monotonic() - since)
        session.sending = False
        if session.again:
            session.again = False
            self.mark([session.agent_id])

    def _ended(self, task: asyncio.Task[None]) -> None:
        """What broke off is delivered in the agent's next session."""
        self._sending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.info("delivery broke off", error=type(error).__name__)


def _look_up(connection: Connection, agent_ids: list[str], now: datetime) -> tuple[dict[str, Due], dict[str, list[CommandRecord]]]:
    told: dict[str, list[CommandRecord]] = {}
    for record in commands.pending(connection, agent_ids, now):
        told.setdefault(record.agent_id, []).append(record)
    return agents.due(connection, agent_ids), told


def _removed() -> NotPermitted:
    return NotPermitted(Reason.AGENT_NOT_FOUND, "The agent is enrolled no more. Enrol it with a new join token.")


def _messages(session: Session, due: Due, told: list[CommandRecord]) -> list[session_pb2.ConnectResponse]:
    """What the agent has not been sent yet in this session."""
    result = []
    if due.generation != session.generation:
        configuration = group_pb2.Configuration.FromString(due.configuration)
        state = session_pb2.DesiredState(generation=due.generation, configuration=configuration)
        result.append(session_pb2.ConnectResponse(desired_state=state))
        session.generation = due.generation
    if due.release_number != session.release:
        if due.release:
            wish = rollout_pb2.DesiredRelease.FromString(due.release)
            result.append(session_pb2.ConnectResponse(desired_release=wish))
        session.release = due.release_number
    for record in told:
        if record.number is not None and record.number > session.command:
            result.append(session_pb2.ConnectResponse(command=command_message(record)))
            session.command = record.number
    return result
