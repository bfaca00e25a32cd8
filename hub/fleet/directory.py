"""Which agents there are, who of them is let in, and when they were last heard of."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from contract.errors import NotFound, NotPermitted, Reason
from hub.clock import Clock
from hub.store import agents
from hub.store.agents import ACTIVE, RETIRED, AgentRecord
from hub.store.database import Database

CHUNK = 1000
"""Agents read at once while the rest of a page is filled."""


class Directory:
    """The agents of the fleet.

    Args:
        database: where they are kept.
        clock: the time, in UTC.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._last_seen: dict[str, datetime] = {}

    async def get(self, agent_id: str) -> AgentRecord:
        """Returns one agent.

        Raises:
            NotFound: AGENT_NOT_FOUND.
        """
        return self._with_last_seen(await self._database.read(partial(find, agent_id)))

    async def page(self, after: str, size: int, chosen: Callable[[AgentRecord], bool] = lambda _: True) -> list[AgentRecord]:
        """Returns at most `size` of the chosen agents behind the id `after`, in the order of their ids."""
        result: list[AgentRecord] = []
        asked = size  # enough, where all are chosen
        while len(result) < size:
            chunk = await self._database.read(partial(agents.page, after=after, size=asked))
            result += [record for record in chunk if chosen(record)]
            if len(chunk) < asked:
                break
            after, asked = chunk[-1].agent_id, CHUNK
        return [self._with_last_seen(record) for record in result[:size]]

    async def admit(self, agent_id: str, key_hash: str) -> None:
        """Lets an agent's call in, and notes the time.

        Args:
            agent_id: from its certificate.
            key_hash: of the certificate's key. The name alone is not enough: it may have been given to another device since.

        Raises:
            NotPermitted: AGENT_NOT_FOUND, it was removed, or enrolled anew with another key; AGENT_SUSPENDED, AGENT_RETIRED.
        """
        record = await self._database.read(lambda connection: agents.get(connection, agent_id))
        check_admitted(record, key_hash)
        if record is not None and record.previous_key_hash and record.key_hash == key_hash:
            await self._database.write(lambda connection: agents.change(connection, agent_id, previous_key_hash=""))
        self.note(agent_id)

    def note(self, agent_id: str) -> None:
        """Notes that an agent was heard of. It is on the disk after the next `flush`."""
        self._last_seen[agent_id] = self._clock()

    async def flush(self) -> None:
        """Writes when agents were last heard of, all in one transaction."""
        noted, self._last_seen = self._last_seen, {}
        if noted:
            await self._database.write(lambda connection: agents.set_last_seen_times(connection, noted.items()))

    def _with_last_seen(self, record: AgentRecord) -> AgentRecord:
        noted = self._last_seen.get(record.agent_id)
        return record if noted is None else replace(record, last_seen_time=noted)


def find(agent_id: str, connection: Connection) -> AgentRecord:
    """Returns one agent.

    Raises:
        NotFound: AGENT_NOT_FOUND.
    """
    record = agents.get(connection, agent_id)
    if record is None:
        raise NotFound(Reason.AGENT_NOT_FOUND, f"No agent {agent_id} is enrolled. See: seawall-hub agents list")
    return record


def check_admitted(record: AgentRecord | None, key_hash: str) -> None:
    """Checks that an agent with this key may call.

    Raises:
        NotPermitted: AGENT_NOT_FOUND, AGENT_SUSPENDED, AGENT_RETIRED.
    """
    if record is None or key_hash not in (record.key_hash, record.previous_key_hash):
        raise NotPermitted(Reason.AGENT_NOT_FOUND, "The agent of this certificate is enrolled no more. Enrol it with a new join token.")
    if record.state != ACTIVE:
        raise shut_out(record.state)


def shut_out(state: str) -> NotPermitted:
    """Returns the error for an agent that an operator has shut out."""
    if state == RETIRED:
        return NotPermitted(Reason.AGENT_RETIRED, "An operator has retired this agent. Enrol it with a new join token.")
    return NotPermitted(Reason.AGENT_SUSPENDED, "An operator has suspended this agent. It is let in again when it is resumed.")
