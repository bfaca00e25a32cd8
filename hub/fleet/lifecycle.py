"""What operators change of an agent: its labels, and whether it is let in."""

import re
from collections.abc import Mapping
from functools import partial

from sqlalchemy import Connection

from contract.errors import InvalidRequest, NotPossibleNow, Reason, Superseded
from contract.identity import agent_name
from hub.clock import Clock
from hub.fleet.configuration import refresh
from hub.fleet.directory import find
from hub.fleet.events import Journal
from hub.fleet.filters import LABEL_KEY
from hub.store import agents
from hub.store.agents import ACTIVE, RETIRED, SUSPENDED, AgentRecord
from hub.store.events import NewEvent
from hub.store.signals import Topic, signal

MAX_LABELS = 64
MAX_LABEL_CHARACTERS = 63
MAX_REASON_CHARACTERS = 500

_FREED = {"member_key_hash": None}
"""The device may be enrolled again under another name."""

_EVENTS = {ACTIVE: "AGENT_RESUMED", SUSPENDED: "AGENT_SUSPENDED", RETIRED: "AGENT_RETIRED"}


class Lifecycle:
    """Changes agents. Their sessions, in whichever process of the hub, hear of it by a signal.

    Args:
        journal: keeps the changes.
        clock: the time, in UTC.
    """

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    async def label(self, agent_id: str, labels: Mapping[str, str] | None, etag: str, actor: str) -> AgentRecord:
        """Gives an agent these labels and no others.

        Args:
            agent_id: whose.
            labels: all of them; None: those that it has.
            etag: the current one; empty: any.
            actor: who does it.

        Raises:
            NotFound: AGENT_NOT_FOUND.
            InvalidRequest: FIELD_INVALID.
            Superseded: ETAG_MISMATCH.
        """
        check_labels(labels or {})

        def work(connection: Connection) -> tuple[AgentRecord, list[NewEvent]]:
            before = find(agent_id, connection)
            check_etag(etag, before.revision)
            if labels is None or before.labels == labels:
                return before, []
            agents.change(connection, agent_id, labels=dict(labels), revision=before.revision + 1)
            refresh(connection, self._clock(), agent_id)
            signal(connection, Topic.AGENTS, [agent_id])
            signal(connection, Topic.ROLLOUTS, [agent_id])
            return find(agent_id, connection), [self._event("AGENT_UPDATED", agent_id, actor, "Its labels were changed.")]

        return await self._journal.write(work)

    async def suspend(self, agent_id: str, actor: str, reason: str) -> AgentRecord:
        """Shuts an agent out until it is resumed.

        Raises:
            NotFound: AGENT_NOT_FOUND.
            NotPossibleNow: AGENT_RETIRED.
        """
        return await self._move(agent_id, SUSPENDED, actor, reason)

    async def resume(self, agent_id: str, actor: str) -> AgentRecord:
        """Lets a suspended agent in again.

        Raises:
            NotFound: AGENT_NOT_FOUND.
            NotPossibleNow: AGENT_RETIRED.
        """
        return await self._move(agent_id, ACTIVE, actor, "")

    async def retire(self, agent_id: str, actor: str, reason: str) -> AgentRecord:
        """Shuts an agent out for good.

        Raises:
            NotFound: AGENT_NOT_FOUND.
        """
        return await self._move(agent_id, RETIRED, actor, reason)

    async def _move(self, agent_id: str, state: str, actor: str, reason: str) -> AgentRecord:
        return await self._journal.write(partial(self._change_state, agent_id, state, actor, reason[:MAX_REASON_CHARACTERS]))

    def _change_state(
        self, agent_id: str, state: str, actor: str, reason: str, connection: Connection
    ) -> tuple[AgentRecord, list[NewEvent]]:
        before = find(agent_id, connection)
        if before.state == state:
            return before, []
        if before.state == RETIRED:
            raise NotPossibleNow(Reason.AGENT_RETIRED, f"Agent {agent_id} is retired for good. Its name may be enrolled anew.")
        agents.change(connection, agent_id, state=state, revision=before.revision + 1, **(_FREED if state == RETIRED else {}))
        signal(connection, Topic.AGENTS, [agent_id])
        signal(connection, Topic.ROLLOUTS, [agent_id])
        return find(agent_id, connection), [self._event(_EVENTS[state], agent_id, actor, reason)]

    def _event(self, kind: str, agent_id: str, actor: str, detail: str) -> NewEvent:
        return NewEvent(self._clock(), kind, agent_name(agent_id), actor, detail)


def check_labels(labels: Mapping[str, str]) -> None:
    """Checks what an operator would have an agent called.

    Raises:
        InvalidRequest: FIELD_INVALID.
    """
    if len(labels) > MAX_LABELS:
        raise InvalidRequest(Reason.FIELD_INVALID, f"An agent has at most {MAX_LABELS} labels.")
    for key, value in labels.items():
        if not re.fullmatch(LABEL_KEY, key):
            raise InvalidRequest(
                Reason.FIELD_INVALID, f"'{key[:80]}' is no label's key: use a letter, then a-z, 0-9, '_', '.', '-'; at most 63."
            )
        if len(value) > MAX_LABEL_CHARACTERS or not value.isprintable():
            raise InvalidRequest(Reason.FIELD_INVALID, f"The label {key} has at most {MAX_LABEL_CHARACTERS} printable characters.")


def check_etag(etag: str, revision: int) -> None:
    """Checks that what a caller read is what is there.

    Args:
        etag: that it read; empty: it does not say.
        revision: what is there.

    Raises:
        Superseded: ETAG_MISMATCH.
    """
    if etag and etag != str(revision):
        raise Superseded(Reason.ETAG_MISMATCH, "It was changed since it was read. Read it again, then try again.")
