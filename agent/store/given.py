"""The table `given`: which kept answer a prompt was given, so that a bad word for one ends the other.

Whoever compares two rows sees who has asked the same. So a row goes with the key of whoever asked, as with the receipt and with the answer.
"""

from dataclasses import dataclass

from sqlite_utils import Database as Tables

from agent.store.subjects import Subject, SubjectKeys

_ADD = "INSERT INTO given (receipt_id, key, digest) SELECT ?, ?, digest FROM answers WHERE digest = ?"
_END = "DELETE FROM answers WHERE digest IN (SELECT digest FROM given WHERE receipt_id = ?)"


@dataclass(frozen=True, slots=True)
class Given:
    """An answer that is kept, given to somebody.

    Args:
        digest: under which it is kept.
        subject: who asked.
        asked_time: when the prompt came, POSIX time, seconds.
    """

    digest: str
    subject: Subject
    asked_time: float


def note_given(tables: Tables, keys: SubjectKeys, receipt_id: str, given: Given, now: float) -> None:
    """Notes within a transaction what was given, if it is kept still and who asked was not forgotten meanwhile.

    Args:
        tables: the store.
        keys: of this device.
        receipt_id: of the answer; its receipt is there.
        given: it.
        now: POSIX time, seconds.
    """
    if not keys.erased_since(tables, given.subject, given.asked_time):
        tables.execute(_ADD, [receipt_id, keys.current(tables, given.subject, now).number, given.digest])


def end_given(tables: Tables, receipt_id: str) -> None:
    """Deletes within a transaction the kept answer that was given with a receipt, if it is kept still."""
    tables.execute(_END, [receipt_id])
