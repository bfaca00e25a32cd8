"""The open streams, one an agent, and what is sent on them.

What an agent is to know is read from the store when somebody says that it is due, for many agents at once: a stream holds no queue.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic

from contract.errors import Busy, NotAuthenticated, Reason, SeawallError, Superseded, Unavailable
from hub.measures import SessionCounts
from seawall.hub.v1 import session_pb2

Write = Callable[[session_pb2.ConnectResponse], Awaitable[None]]


@dataclass(slots=True, eq=False)
class Session:
    """One stream.

    Args:
        agent_id: whose.
        write: sends a message; one at a time.
        task: the one that serves the stream.
        generation: that the agent has, or has been sent.
        command: the number of the last command that was sent.
        release: the number of what a rollout wants that was sent last; 0: nothing was.
        sending: whether a delivery is under way.
        again: whether more has become due since it began.
        ready: whether it is welcomed, so that it may be sent to and judged.
        valid_until: the end of the certificate's life; None: there is none.
        heard_at: when the agent's last message came, monotonic seconds.
    """

    agent_id: str
    write: Write
    task: "asyncio.Task[object]"
    generation: int
    command: int = 0
    release: int = 0
    sending: bool = False
    again: bool = False
    ready: bool = False
    valid_until: datetime | None = None
    heard_at: float = field(default_factory=monotonic)
    ended_by: SeawallError | None = None
    ended_at: float = 0.0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def send(self, message: session_pb2.ConnectResponse) -> None:
        """Sends a message, when those before it are sent."""
        async with self._turn:
            await self.write(message)

    def end(self, error: SeawallError) -> None:
        """Ends the stream with an error."""
        if self.ended_by is None:
            self.ended_by, self.ended_at = error, monotonic()
            self.task.cancel()


class Sessions:
    """All streams of this process.

    Args:
        limit: of streams at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.counts = SessionCounts()
        self._open: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def open(self, agent_id: str, write: Write, generation: int, valid_until: datetime | None = None) -> Iterator[Session]:
        """Holds a session of the task that calls; an older one of the same agent ends.

        Raises:
            Busy: HUB_BUSY, there are too many.
            SeawallError: what the session was ended by.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a session is held by a task")
        if agent_id not in self._open and len(self._open) >= self._limit:
            raise Busy(Reason.HUB_BUSY, f"The hub holds {self._limit} sessions, as many as it may. Try again in a while.")
        self.end(agent_id, replaced())
        session = Session(agent_id, write, task, generation, valid_until=valid_until)
        self._open[agent_id] = session
        self.counts.opened += 1
        reason = "LOST"
        try:
            yield session
            reason = "CLOSED"
        except SeawallError as error:
            reason = error.reason
            raise
        except asyncio.CancelledError:
            if session.ended_by is None:
                raise
            reason = session.ended_by.reason
            self.counts.end_seconds.observe(monotonic() - session.ended_at)
            task.uncancel()
            raise session.ended_by from None
        finally:
            self.counts.end(reason)
            if self._open.get(agent_id) is session:
                del self._open[agent_id]

    def agent_ids(self) -> list[str]:
        """Returns whose sessions are open."""
        return list(self._open)

    def get(self, agent_id: str) -> Session | None:
        """Returns an agent's session, if one is open."""
        return self._open.get(agent_id)

    def end(self, agent_id: str, error: SeawallError) -> None:
        """Ends an agent's session, if one is open."""
        session = self._open.get(agent_id)
        if session is not None:
            session.end(error)

    def end_stale(self, now: datetime, silence_seconds: float) -> None:
        """Ends those whose certificate has expired, and those on which nothing has come for so long: their device may be gone."""
        latest = monotonic() - silence_seconds
        for session in list(self._open.values()):
            if session.valid_until is not None and now > session.valid_until:
                session.end(expired())
            elif session.heard_at < latest:
                session.end(silent())

    def close(self) -> None:
        """Ends all sessions, since the hub stops, or has lost its store."""
        for session in list(self._open.values()):
            session.end(lost())


def replaced() -> Superseded:
    """Returns the error for a session after which another was opened."""
    return Superseded(Reason.SESSION_REPLACED, "The agent has opened another session. Do two devices share one identity?")


def expired() -> NotAuthenticated:
    """Returns the error for who shows a certificate that is good no more."""
    return NotAuthenticated(Reason.CERTIFICATE_INVALID, "The certificate has expired. Renew it, or enrol again.")


def silent() -> Unavailable:
    """Returns the error for a session on which no heartbeat has come."""
    return Unavailable(Reason.HUB_UNAVAILABLE, "Nothing has come in this session for several heartbeats. Connect again.")


def lost() -> Unavailable:
    """Returns the error for a session that this process of the hub holds no more."""
    return Unavailable(Reason.HUB_UNAVAILABLE, "This hub holds the session no more. Connect again in a while.")
