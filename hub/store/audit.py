"""The hub's own log: entries, the tree over them, and its heads. An entry that is old is forgotten; its hash stays."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from sqlalchemy import Connection, bindparam, delete, func, select

from contract import merkle
from contract.merkle import Nodes
from contract.tree_heads import HUB_LOG, SignedHead, TreeHead
from hub.store.tables import audit_entries, audit_heads, audit_nodes

CHUNK = 1000
"""Entries forgotten, or read, in one go."""

_NODE = select(audit_nodes.c.hash).where(audit_nodes.c.level == bindparam("l"), audit_nodes.c.position == bindparam("p"))
_LAST = select(func.max(audit_nodes.c.position)).where(audit_nodes.c.level == 0)
_INSERT_NODE = audit_nodes.insert()
_INSERT_ENTRY = audit_entries.insert()
_ENTRY = select(audit_entries.c.number, audit_entries.c.create_time, audit_entries.c.agent_id, audit_entries.c.leaf)


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """One row.

    Args:
        number: its place in the log, from 0.
        leaf: the text whose hash is in the tree.
    """

    number: int
    create_time: datetime
    agent_id: str
    leaf: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which entries are wanted.

    Args:
        agent_id: of this agent; empty: of all.
        start_time: from this time on; None: from the oldest.
        end_time: before this time; None: to the newest.
    """

    agent_id: str = ""
    start_time: datetime | None = None
    end_time: datetime | None = None


def nodes(connection: Connection) -> Nodes:
    """Returns the way to the nodes. One that is missing is a LookupError: the store is damaged."""

    def node(level: int, position: int) -> bytes:
        found = connection.scalar(_NODE, {"l": level, "p": position})
        if found is None:
            raise LookupError(f"node {position} of level {level} is missing")
        return bytes(found)

    return node


def size(connection: Connection) -> int:
    """Returns how many leaves there are."""
    last = connection.scalar(_LAST)
    return 0 if last is None else last + 1


def append(connection: Connection, create_time: datetime, agent_id: str, leaf: str, receipt_hash: bytes | None = None) -> int:
    """Adds an entry. Returns its number.

    Args:
        connection: in a transaction.
        create_time: of the entry.
        agent_id: whom it is about.
        leaf: the text whose hash is in the tree.
        receipt_hash: of the leaf in the agent's log; None: it is no receipt.

    Raises:
        LookupError: the tree is damaged.
    """
    made = merkle.append(nodes(connection), size(connection), merkle.leaf_hash(leaf.encode()))
    connection.execute(_INSERT_NODE, [{"level": node.level, "position": node.position, "hash": node.hash} for node in made])
    number = made[0].position
    row = {"number": number, "create_time": create_time, "agent_id": agent_id, "leaf": leaf, "receipt_hash": receipt_hash}
    connection.execute(_INSERT_ENTRY, row)
    return number


def has_receipt(connection: Connection, agent_id: str, receipt_hash: bytes) -> bool:
    """Says whether a receipt of an agent has an entry."""
    columns = audit_entries.c
    return connection.scalar(select(columns.number).where(columns.agent_id == agent_id, columns.receipt_hash == receipt_hash)) is not None


def page(connection: Connection, chosen: Chosen, after: int, most: int) -> list[EntryRecord]:
    """Returns at most so many entries behind a number, the oldest first."""
    query = _ENTRY.where(audit_entries.c.number > after).order_by(audit_entries.c.number).limit(most)
    if chosen.agent_id:
        query = query.where(audit_entries.c.agent_id == chosen.agent_id)
    if chosen.start_time is not None:
        query = query.where(audit_entries.c.create_time >= chosen.start_time)
    if chosen.end_time is not None:
        query = query.where(audit_entries.c.create_time < chosen.end_time)
    return [EntryRecord(**row) for row in connection.execute(query).mappings()]


def entries(connection: Connection) -> Iterator[EntryRecord]:
    """Yields every entry that is kept, the oldest first."""
    after = -1
    while found := page(connection, Chosen(), after, CHUNK):
        yield from found
        after = found[-1].number


def leaves(connection: Connection) -> Iterator[tuple[int, bytes]]:
    """Yields the place and hash of every leaf."""
    query = select(audit_nodes.c.position, audit_nodes.c.hash).where(audit_nodes.c.level == 0).order_by(audit_nodes.c.position)
    after = -1
    while found := connection.execute(query.where(audit_nodes.c.position > after).limit(CHUNK)).all():
        yield from ((row[0], bytes(row[1])) for row in found)
        after = found[-1][0]


def forget(connection: Connection, before: datetime) -> int:
    """Deletes from the oldest on, up to the first that is young enough: a gap is never forgetting. Returns how many, some at a time."""
    rows = connection.execute(select(audit_entries.c.number, audit_entries.c.create_time).order_by(audit_entries.c.number).limit(CHUNK))
    old = [number for number, _ in takewhile(lambda row: row[1] < before, rows)]
    if old:
        connection.execute(delete(audit_entries).where(audit_entries.c.number <= old[-1]))
    return len(old)


def put_head(connection: Connection, signed: SignedHead) -> None:
    """Keeps a head."""
    head = signed.head
    values = {"size": head.size, "root": head.root, "time": head.time, "public_key": signed.public_key, "signature": signed.signature}
    connection.execute(audit_heads.insert().values(values))


def newest_head(connection: Connection) -> SignedHead | None:
    """Returns the head of the largest log; None: none was signed."""
    return next(_heads(connection, newest_alone=True), None)


def signed_heads(connection: Connection) -> Iterator[SignedHead]:
    """Yields every head, the smallest log first."""
    return _heads(connection, newest_alone=False)


def _heads(connection: Connection, *, newest_alone: bool) -> Iterator[SignedHead]:
    query = (
        select(audit_heads).order_by(audit_heads.c.size.desc()).limit(1)
        if newest_alone
        else select(audit_heads).order_by(audit_heads.c.size)
    )
    for row in connection.execute(query).mappings():
        yield SignedHead(TreeHead(HUB_LOG, row["size"], bytes(row["root"]), row["time"]), row["public_key"], row["signature"])
