"""The heads of the log of receipts: what was signed, and what the hub has witnessed."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlite_utils import Database as Tables

from agent.store.database import Database, unusable
from agent.store.receipt_tree import kept_nodes, tree_size
from contract.errors import NotPossibleNow, Reason
from contract.leaves import canonical
from contract.merkle import consistency_proof, root
from contract.tree_heads import Chain, Previous, SignedHead, TreeHead, Witness, written

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeptHead:
    """A head, and the hub's word for it; None: it has not given it."""

    signed: SignedHead
    witness: Witness | None = None

    @property
    def size(self) -> int:
        """Of the log."""
        return self.signed.head.size


class HeadStore:
    """The table `receipt_heads`.

    Args:
        database: the store.
        age_seconds: how long a head is kept; the newest always is.

    Raises:
        Unavailable: STORE_UNAVAILABLE, by every method: the disk is full or broken.
        NotPossibleNow: LOG_DAMAGED, by every method: nodes of the tree are missing, or a head cannot be read.
    """

    def __init__(self, database: Database, age_seconds: float) -> None:
        self._database = database
        self._age = timedelta(seconds=age_seconds)

    async def newest(self) -> KeptHead | None:
        """Returns the head of the largest log; None: none was made."""
        return await self._run(newest_head)

    async def sign(
        self, log: str, sign: Callable[[TreeHead], SignedHead], now: datetime, wanted: Callable[[KeptHead], bool]
    ) -> KeptHead | None:
        """Makes a head of the log as it is, which names the one before it, unless one of this size is there and wanted.

        One that is there and not wanted is signed anew as it is, so that it stays the one that others name.

        Args:
            log: its name.
            sign: signs a head, or leaves it unsigned.
            now: the time, UTC, to the millisecond.
            wanted: whether the head that is there will do.

        Returns:
            the newest head; None: the log is empty.
        """

        def work(tables: Tables) -> KeptHead | None:
            size, newest = tree_size(tables), newest_head(tables)
            if not size or (newest is not None and (newest.size > size or (newest.size == size and wanted(newest)))):
                return newest
            kept_since = now - self._age
            if newest is not None and (newest.size, newest.signed.head.log) == (size, log):
                head = newest.signed.head
            else:
                head = TreeHead(log, size, root(kept_nodes(tables), size), now, Chain(_previous(tables, size), kept_since))
            made = KeptHead(sign(head))
            tables.table("receipt_heads").upsert(_row(made), pk="size")
            tables.execute("DELETE FROM receipt_heads WHERE time < ? AND size < ?", [written(kept_since), size])
            return made

        return await self._run(work)

    async def witnessed(self, signed: SignedHead, witness: Witness) -> None:
        """Keeps the hub's word for a head."""
        await self._run(lambda tables: tables.table("receipt_heads").upsert(_row(KeptHead(signed, witness)), pk="size"))

    async def proof(self, first: int, second: int) -> list[bytes]:
        """Returns the proof that the log of the larger size goes on from that of the smaller one."""
        return await self._run(lambda tables: consistency_proof(kept_nodes(tables), first, second))

    async def _run(self, work: Callable[[Tables], T]) -> T:
        try:
            return await self._database.run(work)
        except LookupError as error:
            raise NotPossibleNow(
                Reason.LOG_DAMAGED, f"The log of receipts is damaged ({error}): see what seawall-agent receipts verify says."
            ) from error
        except sqlite3.DatabaseError as error:
            raise unusable(error) from error


def newest_head(tables: Tables) -> KeptHead | None:
    """Returns the head of the largest log."""
    return next((read_head(row) for row in tables.query("SELECT * FROM receipt_heads ORDER BY size DESC LIMIT 1")), None)


def _previous(tables: Tables, size: int) -> Previous | None:
    """Returns the head of the largest log below a size, as the next one names it."""
    for row in tables.query("SELECT * FROM receipt_heads WHERE size < ? ORDER BY size DESC LIMIT 1", [size]):
        return read_head(row).signed.head.as_previous()
    return None


def read_head(row: dict[str, Any]) -> KeptHead:
    """Reads a row.

    Raises:
        LookupError: it is damaged.
    """
    try:
        return _read(row)
    except (ValueError, KeyError, TypeError) as error:
        raise LookupError(f"the head of {row.get('size')} receipts cannot be read") from error


def _read(row: dict[str, Any]) -> KeptHead:
    chain = None if row["chain"] is None else Chain.from_dict(json.loads(row["chain"]))
    head = TreeHead(row["log"], row["size"], bytes(row["root"]), datetime.fromisoformat(row["time"]), chain)
    signed = SignedHead(head, bytes(row["public_key"]), bytes(row["signature"]))
    if row["witness_time"] is None:
        return KeptHead(signed)
    time = datetime.fromisoformat(row["witness_time"])
    return KeptHead(signed, Witness(time, bytes(row["witness_key"] or b""), bytes(row["witness_signature"] or b"")))


def _row(kept: KeptHead) -> dict[str, Any]:
    head, witness = kept.signed.head, kept.witness
    return {
        "size": head.size,
        "log": head.log,
        "root": head.root,
        "time": written(head.time),
        "chain": None if head.chain is None else canonical(head.chain.to_dict()),
        "public_key": kept.signed.public_key,
        "signature": kept.signed.signature,
        "witness_time": None if witness is None else written(witness.time),
        "witness_key": None if witness is None else witness.public_key,
        "witness_signature": None if witness is None else witness.signature,
    }
