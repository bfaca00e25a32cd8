"""What was witnessed of agents' logs, what was refused, and the keys that this hub has ever signed with."""

import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, func, select

from contract.identity import agent_name, key_hash
from contract.leaves import canonical
from contract.tree_heads import Chain, SignedHead, TreeHead, Witness
from hub.store.tables import hub_keys, refused_heads, witnessed_heads

MOST_REFUSED = 20
"""So many refused heads of one agent are kept: the first ones prove what there is to prove, and tell it."""


def get(connection: Connection, agent_id: str) -> tuple[SignedHead, Witness] | None:
    """Returns the head of an agent's log that was witnessed last."""
    row = connection.execute(select(witnessed_heads).where(witnessed_heads.c.agent_id == agent_id)).mappings().one_or_none()
    if row is None:
        return None
    chain = None if row["chain"] is None else Chain.from_dict(json.loads(row["chain"]))
    head = TreeHead(agent_name(agent_id), row["size"], row["root"], row["time"], chain)
    return (
        SignedHead(head, row["public_key"], row["signature"]),
        Witness(row["witness_time"], row["witness_key"], row["witness_signature"]),
    )


def put(connection: Connection, agent_id: str, signed: SignedHead, witness: Witness) -> None:
    """Puts a head in the place of the last one."""
    connection.execute(delete(witnessed_heads).where(witnessed_heads.c.agent_id == agent_id))
    connection.execute(
        witnessed_heads.insert().values(
            agent_id=agent_id,
            size=signed.head.size,
            root=signed.head.root,
            time=signed.head.time,
            public_key=signed.public_key,
            signature=signed.signature,
            witness_time=witness.time,
            witness_key=witness.public_key,
            witness_signature=witness.signature,
            chain=None if signed.head.chain is None else canonical(signed.head.chain.to_dict()),
        )
    )


def refuse(connection: Connection, agent_id: str, head: TreeHead, evidence: bytes) -> bool:
    """Keeps a head that was not witnessed. Returns whether it was: it is a new one, and there are not too many."""
    mine = refused_heads.c.agent_id == agent_id
    same = select(refused_heads.c.number).where(mine, refused_heads.c.size == head.size, refused_heads.c.root == head.root)
    if connection.execute(same).first() is not None:
        return False
    if (connection.scalar(select(func.count()).select_from(refused_heads).where(mine)) or 0) >= MOST_REFUSED:
        return False
    connection.execute(refused_heads.insert().values(agent_id=agent_id, size=head.size, root=head.root, evidence=evidence))
    return True


def refused(connection: Connection, agent_id: str) -> list[bytes]:
    """Returns what was kept of heads that were not witnessed, the oldest first."""
    chosen = select(refused_heads.c.evidence).where(refused_heads.c.agent_id == agent_id).order_by(refused_heads.c.number)
    return [row[0] for row in connection.execute(chosen)]


def add_key(connection: Connection, public_key: bytes, now: datetime) -> None:
    """Notes a key that this hub signs with from now on."""
    name = key_hash(public_key)
    if connection.execute(select(hub_keys.c.key_hash).where(hub_keys.c.key_hash == name)).first() is None:
        connection.execute(hub_keys.insert().values(key_hash=name, public_key=public_key, create_time=now))


def keys(connection: Connection) -> Sequence[bytes]:
    """Returns every key that this hub has ever signed with, the oldest first."""
    return [row[0] for row in connection.execute(select(hub_keys.c.public_key).order_by(hub_keys.c.create_time, hub_keys.c.key_hash))]
