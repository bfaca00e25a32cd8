"""Forgetting a subject: its keys are destroyed, and with them every row that was sealed under them; then the file is scrubbed.

Receipts stay: they are free of content.
"""

from typing import Any

from sqlite_utils import Database as Tables

from agent.store.database import Database
from agent.store.scrubbing import want_scrubbing
from agent.store.subjects import SEALED_TABLES, Subject, SubjectKeys


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
    removed = await database.run(lambda tables: _forget(tables, database.keys, subject, now))
    await database.scrub()
    return removed


def _forget(tables: Tables, keys: SubjectKeys, subject: Subject, now: float) -> dict[str, int]:
    owner = keys.owner(subject.client)
    name = None if subject.conversation is None else keys.subject(subject)
    condition, parameters = ("owner = ?", [owner]) if name is None else ("subject = ?", [name])
    removed = {table: _count_under(tables, table, condition, parameters) for table in SEALED_TABLES}
    want_scrubbing(tables, owner, name, now)
    # Rows go with their key.
    removed["subject_keys"] = int(tables.execute(f"DELETE FROM subject_keys WHERE {condition}", parameters).rowcount)  # noqa: S608
    if name is None:  # also what lies under a key that was lost, by which the client is not found
        removed["inbox"] += int(tables.execute("DELETE FROM inbox WHERE client = ?", [subject.client]).rowcount)
    return removed


def _count_under(tables: Tables, table: str, condition: str, parameters: list[Any]) -> int:
    under = f"SELECT key FROM subject_keys WHERE {condition}"  # noqa: S608 - conditions of this module alone
    return tables.table(table).count_where(f"key IN ({under})", parameters)
