"""A device's log of receipts for tests: filled, signed, and tampered with as one who has the device's disk can."""

import random
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.hub_link import HubLink
from agent.identity.files import Identity
from agent.state import StateFolder
from agent.store.audit import ReceiptStore
from agent.store.database import Database
from agent.store.heads import HeadStore
from agent.witness import HeadKeeper
from contract.merkle import Frontier, leaf_hash
from contract.tree_heads import TreeHead, sign_head
from tests.fakes.answerer import receipt

AGE_SECONDS = 365 * 86400.0


def now() -> datetime:
    return datetime.now(UTC)


async def fill(database: Database, link: HubLink | None, *counts: int, client: str = "till") -> HeadKeeper:
    """Appends receipts; behind each part, the log is signed, and witnessed where there is a hub."""
    store, heads = ReceiptStore(database, AGE_SECONDS), HeadStore(database, AGE_SECONDS)
    keeper = HeadKeeper(heads, store, "plant-7", link, now, random.Random(1))
    for count in counts:
        before = len(await store.latest(100_000))
        for number in range(before, before + count):
            await store.append(client, receipt(f"p{number}"), now().timestamp())
        await keeper.keep_once()
    return keeper


async def fill_state(state: StateFolder, *counts: int) -> None:
    """Does that with the state folder of an enrolled device."""
    database, link = Database(state.database), HubLink(state.identity.read())
    await fill(database, link, *counts)
    await link.close()
    database.close()


def on_disk(path: Path, *statements: str) -> None:
    """Runs SQL on the store, behind the agent's back."""
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def rewrite(path: Path, identity: Identity, bend: Callable[[str], str], keep: int | None = None) -> None:
    """Writes the whole log anew, every receipt bent, and signs heads of the same sizes with the device's own key, without a witness.

    Args:
        path: of the store.
        identity: with the key.
        bend: returns another text of a receipt.
        keep: so many receipts alone; None: all.
    """
    key = device_key(identity)
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT leaf, receipt FROM receipts ORDER BY leaf").fetchall()[:keep]
        sizes = [size for (size,) in connection.execute("SELECT size FROM receipt_heads ORDER BY size") if size <= len(rows)]
        connection.execute("DELETE FROM receipt_nodes")
        connection.execute("DELETE FROM receipt_heads")
        connection.execute("DELETE FROM receipts WHERE leaf >= ?", [len(rows)])
        frontier = Frontier()
        for leaf, text in rows:
            bent = bend(text)
            connection.execute("UPDATE receipts SET receipt = ? WHERE leaf = ?", [bent, leaf])
            made = frontier.append(leaf_hash(bent.encode()))
            connection.executemany("INSERT INTO receipt_nodes VALUES (?, ?, ?)", [(node.level, node.position, node.hash) for node in made])
            if frontier.size in sizes:
                signed = sign_head(
                    key, TreeHead(f"agents/{identity.agent_id}", frontier.size, frontier.root(), now().replace(microsecond=0))
                )
                values = (frontier.size, signed.head.log, signed.head.root, signed.head.time.isoformat(timespec="milliseconds"))
                connection.execute(
                    "INSERT INTO receipt_heads (size, log, root, time, public_key, signature) VALUES (?, ?, ?, ?, ?, ?)",
                    (*values, signed.public_key, signed.signature),
                )
    connection.close()


def device_key(identity: Identity) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(identity.key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def moved(identity: Identity, address: str) -> Identity:
    """The identity, with a hub somewhere else."""
    return replace(identity, hub_address=address)
