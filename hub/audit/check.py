"""Reads the hub's whole log of escalations, and says what is not as it was signed."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from contract.log_walk import Walk, gone_too_early, head_faults, missing
from contract.merkle import leaf_hash
from contract.tree_heads import SignedHead, written
from hub.store import audit, heads
from hub.store.audit import EntryRecord


@dataclass(frozen=True, slots=True)
class Checked:
    """What was seen.

    Args:
        entries: leaves of the log.
        kept: of these, that are still there in clear.
        heads: that are kept.
        findings: what is wrong, a sentence each; empty: nothing is.
    """

    entries: int
    kept: int
    heads: int
    findings: tuple[str, ...]


def check_log(connection: Connection, earlier: Sequence[SignedHead], kept_since: datetime) -> Checked:
    """Checks all that is there.

    Args:
        connection: sees one moment.
        earlier: heads that somebody has kept elsewhere.
        kept_since: what is younger should not have been forgotten.
    """
    own = list(audit.signed_heads(connection))
    walk = Walk(audit.nodes(connection), (signed.head.size for signed in (*own, *earlier)))
    findings = list(_walk(connection, walk))
    findings += gone_too_early(walk, own, kept_since, "entries", "audit_days")
    keys = heads.keys(connection)
    for signed in (*own, *earlier):
        findings += head_faults(walk, signed, "entries")
        if signed.public_key not in keys:
            findings.append(f"the head of {signed.head.size} entries is signed by no key of this hub")
    return Checked(walk.size, walk.kept, len(own), tuple(findings))


def _walk(connection: Connection, walk: Walk) -> Iterator[str]:
    entries = audit.entries(connection)
    entry = next(entries, None)
    for position, hashed in audit.leaves(connection):
        if position != walk.size:
            yield missing(walk.size, position)
            return
        is_kept = entry is not None and entry.number == position
        if entry is not None and is_kept:
            yield from _entry_faults(entry, hashed)
            entry = next(entries, None)
        yield from walk.step(hashed, is_kept)
    if entry is not None:
        yield f"entry {entry.number} stands in no leaf: it was added beside the log, or its leaf was cut off"


def _entry_faults(entry: EntryRecord, hashed: bytes) -> Iterator[str]:
    if leaf_hash(entry.leaf.encode()) != hashed:
        yield f"entry {entry.number} is not the one that was logged: it was changed, or put in another's place"
        return
    fields = json.loads(entry.leaf)
    if (fields["agent"], fields["time"]) != (entry.agent_id, written(entry.create_time)):
        yield f"entry {entry.number} is listed under another agent or time than it was logged under"
