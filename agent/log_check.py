"""Reads the whole log of receipts, and says what is not as it was signed.

What each check finds:
    1. a receipt that was changed, or stands in another's place: its hash is not its leaf;
    2. a receipt that was removed: a gap, or one that is gone before its time;
    3. a receipt that was added beside the log;
    4. a leaf or a node that was changed, or removed: the tree does not come out;
    5. a log that was cut off, or rewritten: a head says otherwise;
    6. a head, or a hub's word for it, that is signed by nobody, or by somebody else;
    7. a head that was removed: the next one names it;
    8. a log that was rewritten and signed anew with the device's own key: what the hub has witnessed says otherwise.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlite_utils import Database as Tables

from agent.audit_client import HubRecord
from agent.store.heads import KeptHead, read_head
from agent.store.receipt_tree import kept_nodes
from contract.head_chain import chain_faults, contradiction, forgotten_before
from contract.log_walk import Walk, gone_too_early, head_faults, missing
from contract.merkle import leaf_hash
from contract.tree_heads import TreeHead, written

_LEAVES = """
SELECT n.position, n.hash, r.receipt_id, r.client, CAST(r.receipt AS BLOB)
FROM receipt_nodes n LEFT JOIN receipts r ON r.leaf = n.position WHERE n.level = 0 ORDER BY n.position
"""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was seen.

    Args:
        receipts: leaves of the log.
        kept: of these, whose receipt is still there.
        heads: that are kept.
        witnessed: of these, that the hub has witnessed.
        findings: what is wrong, a sentence each; empty: nothing is.
        forgotten_before: what is older was forgotten in order, as heads have signed it or as is set now.
    """

    receipts: int
    kept: int
    heads: int
    witnessed: int
    findings: tuple[str, ...]
    forgotten_before: datetime


def check_log(tables: Tables, record: HubRecord | None, kept_since: datetime) -> Checked:
    """Checks all that is there.

    Args:
        tables: the store, within one transaction.
        record: what the hub has witnessed; None: it was not asked.
        kept_since: what is younger should not have been forgotten.
    """
    findings: list[str] = []
    heads = list(_heads(tables, findings))
    sizes = {kept.size for kept in heads} | ({record.size} if record is not None else set())
    leaves = Walk(kept_nodes(tables), sizes)
    findings += _walk(tables, leaves)
    chain = _chain(heads, record)
    findings += gone_too_early(leaves, [kept.signed for kept in heads], forgotten_before(chain, kept_since), "receipts", "receipt_seconds")
    findings += chain_faults(chain, kept_since)
    findings += _beside(tables, leaves.size)
    for kept in heads:
        findings += _head_faults(kept, leaves, record)
    findings += [] if record is None else _record_faults(record, heads, leaves)
    witnessed = sum(kept.witness is not None for kept in heads)
    return Checked(leaves.size, leaves.kept, len(heads), witnessed, tuple(findings), forgotten_before(chain, kept_since))


def _walk(tables: Tables, walk: Walk) -> Iterator[str]:
    for position, hashed, receipt_id, client, text in tables.execute(_LEAVES):
        if position != walk.size:
            yield missing(walk.size, position)
            return
        if receipt_id is not None:
            yield from _receipt_faults(position, bytes(hashed), receipt_id, client, bytes(text))
        yield from walk.step(bytes(hashed), receipt_id is not None)


def _receipt_faults(position: int, hashed: bytes, receipt_id: str, client: str, text: bytes) -> Iterator[str]:
    if leaf_hash(text) != hashed:
        yield f"receipt {position} ({receipt_id}) is not the one that was logged: it was changed, or put in another's place"
        return
    fields = json.loads(text)
    if (fields["receipt_id"], fields["client"]) != (receipt_id, client):
        yield f"receipt {position} ({receipt_id}) is shown under another id or client than it was logged under"


def _beside(tables: Tables, size: int) -> Iterator[str]:
    rows = tables.execute("SELECT receipt_id FROM receipts WHERE leaf IS NULL OR leaf >= ? ORDER BY sequence", [size])
    return (f"receipt {receipt_id} stands in no leaf: it was added beside the log, or its leaf was cut off" for (receipt_id,) in rows)


def _heads(tables: Tables, findings: list[str]) -> Iterator[KeptHead]:
    for row in tables.query("SELECT * FROM receipt_heads ORDER BY size"):
        try:
            yield read_head(row)
        except LookupError:
            findings.append(f"the head of {row['size']} receipts cannot be read")


def _chain(heads: Iterable[KeptHead], record: HubRecord | None) -> list[TreeHead]:
    """Returns the heads, and in its place the one that the hub has witnessed last, if it is not here."""
    chain = {kept.size: kept.signed.head for kept in heads}
    if record is not None and record.signed is not None:
        chain.setdefault(record.size, record.signed.head)
    return [chain[size] for size in sorted(chain)]


def _head_faults(kept: KeptHead, leaves: Walk, record: HubRecord | None) -> Iterator[str]:
    yield from head_faults(leaves, kept.signed, "receipts")
    if kept.witness is None:
        return
    word = f"the hub's word for the head of {kept.size} receipts, {written(kept.signed.head.time)}"
    if not kept.witness.is_good(kept.signed):
        yield f"{word}, is not signed by the key that it names"
    elif record is not None and kept.witness.public_key not in record.hub_keys:
        yield f"{word}, is signed by no key of this hub"


def _record_faults(record: HubRecord, heads: Sequence[KeptHead], leaves: Walk) -> Iterator[str]:
    most = max((kept.size for kept in heads if kept.witness is not None), default=0)
    if record.size < most:
        yield f"the hub says that it has witnessed {record.size} receipts, and its word for {most} is here: was its store set back?"
    if record.signed is None:
        return
    time = written(record.signed.head.time)
    if record.size > leaves.size:
        yield f"the log was cut off: the hub has witnessed {record.size} receipts, {time}, and {leaves.size} are here"
    elif leaves.roots.get(record.size) != record.signed.head.root:
        yield f"the log was rewritten: its first {record.size} receipts are not those that the hub has witnessed, {time}"
    for kept in heads:
        if kept.size == record.size and (fault := contradiction(record.signed.head, kept.signed.head)):
            yield f"the heads were rewritten: {fault}"
