"""Tells agents of a round over their sessions, and hears by which key each will come.

The word is a command: it reaches an agent in whichever process of the hub it has its session, and not after the round. Only the agent
itself can say what came of it, so that a node's key is known to be that of an enrolled agent.
"""

import uuid
from collections.abc import AsyncIterator, Collection
from datetime import timedelta
from functools import partial

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from sqlalchemy import Connection

from hub.clock import Clock
from hub.fleet.events import Journal
from hub.fleet.messages import command_name
from hub.store import agents, commands, events
from hub.store.agents import ACTIVE
from hub.store.commands import SUCCEEDED, CommandRecord
from hub.store.database import Database
from hub.store.events import NewEvent
from hub.store.signals import Topic, signal
from seawall.hub.v1.command_pb2 import LearningRound

ACTION = "TAKE_PART"
_ENDED = "COMMAND_ENDED"


class Invitations:
    """Of all rounds.

    Args:
        database: where commands are kept.
        journal: told of them, and tells of their ends.
        clock: the time, in UTC.
    """

    def __init__(self, database: Database, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock

    async def invite(self, agent_ids: Collection[str], told: LearningRound) -> AsyncIterator[tuple[str, bytes | None]]:
        """Yields, as they answer, the agents and the public key of each one's node, PEM; None: it does not come.

        Args:
            agent_ids: whom; those that are shut out or not connected are not asked, and do not come.
            told: of the round.
        """
        seen, names = await self._journal.write(partial(self._create, agent_ids, told))
        for agent_id in set(agent_ids) - set(names.values()):
            yield agent_id, None
        async for event, _ in self._journal.watch(seen):
            if event is not None and event.type == _ENDED and event.subject in names:
                agent_id = names.pop(event.subject)
                yield agent_id, await self._key(agent_id, event.subject)
            if not names:
                return

    def _create(
        self, agent_ids: Collection[str], told: LearningRound, connection: Connection
    ) -> tuple[tuple[int, dict[str, str]], list[NewEvent]]:
        now, ttl = self._clock(), timedelta(seconds=told.deadline.ToNanoseconds() / 1e9)
        found = agents.due(connection, list(agent_ids))
        names: dict[str, str] = {}
        for agent_id in sorted(agent_ids):
            due = found.get(agent_id)
            if due is None or due.state != ACTIVE or due.replica_id is None:
                continue
            record = CommandRecord(str(uuid.uuid4()), agent_id, ACTION, 0, now, now + ttl, learning_round=told.SerializeToString())
            commands.insert(connection, record)
            names[command_name(agent_id, record.command_id)] = agent_id
        if names:
            signal(connection, Topic.AGENTS, names.values())
        _, last = events.bounds(connection)
        return (last, names), [NewEvent(now, "COMMAND_CREATED", name, detail=f"{ACTION}.") for name in names]

    async def _key(self, agent_id: str, name: str) -> bytes | None:
        record = await self._database.read(lambda connection: commands.get(connection, agent_id, name.rpartition("/")[2]))
        return _read_key(record.output) if record is not None and record.state == SUCCEEDED else None


def _read_key(text: str) -> bytes | None:
    """Returns a public key in the one form that it has; None: it is none."""
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        return None
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
