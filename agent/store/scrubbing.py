"""What is deleted leaves the file: secure_delete writes zeros over it, VACUUM writes the file anew, a checkpoint empties the log.

That this is wanted is a row of the table `erasures`, written in the transaction that deletes, so that a power cut puts it off to the next
start and no further.
"""

import sqlite3

from sqlite_utils import Database as Tables


def want_scrubbing(tables: Tables, owner: str = "", subject: str | None = None, now: float = 0.0) -> None:
    """Notes in a transaction that what it deletes is to leave the file.

    Args:
        tables: the store.
        owner: the digest of the client that is forgotten; empty: nobody is.
        subject: the digest of the only conversation of it that is forgotten; None: all of them.
        now: POSIX time, seconds.
    """
    tables.table("erasures").insert({"owner": owner, "subject": subject, "erase_time": now, "scrubbed": 0})


def scrub(tables: Tables) -> None:
    """Does what is wanted, if anything is. Called outside of a transaction.

    Raises:
        sqlite3.OperationalError: another process has held the file for too long, or the disk is full.
    """
    last = tables.execute("SELECT max(sequence) FROM erasures WHERE scrubbed = 0").fetchone()[0]
    if last is None:
        return
    tables.execute("PRAGMA temp_store=FILE")  # VACUUM's copy is as large as the store, and sealed as that is
    try:
        tables.execute("VACUUM")
    finally:
        tables.execute("PRAGMA temp_store=MEMORY")
    busy, _, _ = tables.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("another program holds the store's file open for reading: end it, and try again")
    with tables.atomic():
        tables.execute("UPDATE erasures SET scrubbed = 1 WHERE sequence <= ?", [last])
