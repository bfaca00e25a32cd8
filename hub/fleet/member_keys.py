"""By which key rosters know an agent: what it says is kept if it can show the key, and no other agent has said the same.

What is refused costs the agent its part in rounds and nothing else: its session goes on, and an event tells the operator. A key that was
kept stays until another one is shown or the agent is retired: if saying none took it away, the next one would be the first, and nobody be
told.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from contract.identity import agent_name, key_hash
from contract.secagg.possession import is_proven
from hub.store import agents
from hub.store.agents import ACTIVE, AgentRecord
from hub.store.events import NewEvent
from seawall.hub.v1.agent_pb2 import MemberKey

CHANGED = "MEMBER_KEY_CHANGED"
REFUSED = "MEMBER_KEY_REFUSED"


def keep(record: AgentRecord, said: MemberKey, now: datetime, connection: Connection) -> Sequence[NewEvent]:
    """Keeps the key that an agent says; returns what an operator is to see of it.

    Args:
        record: the agent, as it is kept.
        said: empty: it takes part in no rounds now, for whatever reason, which changes nothing.
        now: the time, UTC.
        connection: of the transaction.
    """
    if not said.public_key or record.state != ACTIVE:
        return []
    digest = key_hash(said.public_key)
    if digest == record.member_key_hash:
        return []
    why = _fault(record, said, digest, connection)
    if why:
        return [NewEvent(now, REFUSED, agent_name(record.agent_id), detail=why)]
    agents.change(connection, record.agent_id, member_key_hash=digest)
    if record.member_key_hash is None:
        return []
    return [NewEvent(now, CHANGED, agent_name(record.agent_id), detail=f"It was {record.member_key_hash}, and is {digest}.")]


def _fault(record: AgentRecord, said: MemberKey, digest: str, connection: Connection) -> str:
    """Returns why a key is not kept. While a certificate is renewed, the one before it will do."""
    certificates = [known for known in (record.key_hash, record.previous_key_hash) if known]
    if not any(is_proven(said.public_key, said.proof, record.agent_id, known) for known in certificates):
        return f"It has not shown that {digest} is its own."
    holder = agents.with_member_key(connection, digest)
    return "" if holder is None else f"{digest} is {agent_name(holder)}'s: retire that, or remove member-key.pem from this device."
