"""Forgetting a subject: its keys are destroyed, and with them every row that was sealed under them; then the file is scrubbed.

Receipts stay: they are free of content.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlite_utils import Database as Tables

from agent.store.database import Database
from agent.store.scrubbing import want_scrubbing
from agent.store.subjects import SEALED_TABLES, Subject, SubjectKeys
from agent.store.text_search import Whose


def whose(keys: SubjectKeys, subject: Subject) -> Whose:
    """Returns a conversation by its digests; or, where the subject has none, a client with all of its conversations."""
    return Whose(keys.owner(subject.client), None if subject.conversation is None else keys.subject(subject))


async def forget(database: Database, subject: Subject, now: float) -> dict[str, int]:
    """Forgets a conversation; or, where the subject has none, a client with all of its conversations.

    Works beside a running agent. What prompts that are being answered would leave behind afterwards is not kept.

    Args:
        database: the store.
        subject: who or what is forgotten.
        now: POSIX time, seconds.

    Returns:
        How many rows were deleted, by table; `subject_keys` are the keys.

    Raises:
        sqlite3.DatabaseError: the disk is full or broken, or another program holds the file; what was begun is ended at the next start.
    """

    def work(tables: Tables) -> dict[str, int]:
        removed = _forget(tables, whose(database.keys, subject), now)
        if subject.conversation is None:  # also what lies under a key that was lost, by which the client is not found
            removed["inbox"] += int(tables.execute("DELETE FROM inbox WHERE client = ?", [subject.client]).rowcount)
        return removed

    removed = await database.run(work)
    await database.scrub()
    return removed


async def forget_found(database: Database, found: Sequence[Whose], now: float) -> dict[str, int]:
    """Forgets what a search has found, all or nothing; see forget."""

    def work(tables: Tables) -> dict[str, int]:
        return _sum(_forget(tables, one, now) for one in found)

    removed = await database.run(work)
    await database.scrub()
    return removed


def held(tables: Tables, found: Iterable[Whose]) -> dict[str, int]:
    """Returns how many rows would be deleted, as forget does."""
    return _sum(_counts(tables, one) for one in found)


def _forget(tables: Tables, one: Whose, now: float) -> dict[str, int]:
    removed = _counts(tables, one)
    want_scrubbing(tables, one.owner, one.subject, now)
    condition, parameters = _condition(one)
    tables.execute(f"DELETE FROM subject_keys WHERE {condition}", parameters)  # noqa: S608 - rows go with their key
    return removed


def _counts(tables: Tables, one: Whose) -> dict[str, int]:
    condition, parameters = _condition(one)
    under = f"SELECT key FROM subject_keys WHERE {condition}"  # noqa: S608 - conditions of this module alone
    counts = {table: tables.table(table).count_where(f"key IN ({under})", parameters) for table in SEALED_TABLES}
    return {**counts, "subject_keys": tables.table("subject_keys").count_where(condition, parameters)}


def _condition(one: Whose) -> tuple[str, list[Any]]:
    return ("owner = ?", [one.owner]) if one.subject is None else ("subject = ?", [one.subject])


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total = Counter(dict.fromkeys((*SEALED_TABLES, "subject_keys"), 0))
    for count in counts:
        total.update(count)
    return dict(total)
