"""Whose a row is, and the keys that make it readable: random ones for each conversation and each client, in the table `subject_keys`.

A subject's key lies there wrapped by a key derived from the device's. Every sealed row names its key's row; when that is deleted, all
rows under it are deleted with it, and copies of them that the file may still hold cannot be opened.

No key comes near the 2^32 values that SP 800-38D allows it: a subject gets a new key after 30 days, and to reach the bound in that time
would take 1,657 values a second of one conversation, whose every prompt takes a synced commit, and the model's time for its messages. The
wrapping key is used once for each key of a subject.
"""

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database as Tables

from agent.store.sealing import KEY_BYTES, RandomBytes, Sealer, Unreadable, derive

_KEY_SECONDS = 30 * 24 * 3600.0

SEALED_TABLES = ("answers", "classes", "given", "inbox", "outbox", "sketches", "turns", "vault")
"""Each row of these has a `key`, and is deleted with it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose something is.

    Args:
        client: who asks.
        conversation: the client's id of it; None: of no conversation.
    """

    client: str
    conversation: str | None = None


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """A subject's key.

    Args:
        number: of its row; rows sealed with it say it as `key`.
        sealer: seals with it.
    """

    number: int
    sealer: Sealer


class SubjectKeys:
    """The table `subject_keys`. All methods are called within a transaction, and keep no key beyond it.

    Args:
        data_key: the device's, 32 bytes.
        random_bytes: returns so many, for keys and nonces.
    """

    def __init__(self, data_key: bytes, random_bytes: RandomBytes = secrets.token_bytes) -> None:
        self._random_bytes = random_bytes
        self._wrapping = Sealer(derive(data_key, "wrapping of subjects' keys"), "subject_keys", random_bytes=random_bytes)
        self._digests = derive(data_key, "digests in the store")

    def digest(self, *parts: str | None) -> str:
        """Returns a keyed digest (HMAC-SHA256) by which something is found again, and nobody without the key can tell what it is.

        Args:
            parts: the first says what kind of thing it is.
        """
        return hmac.new(self._digests, json.dumps(parts).encode(), hashlib.sha256).hexdigest()

    def owner(self, client: str) -> str:
        """Returns the digest of a client."""
        return self.digest("client", client)

    def subject(self, subject: Subject) -> str:
        """Returns the digest of a subject."""
        return self.digest("subject", subject.client, subject.conversation)

    def current(self, tables: Tables, subject: Subject, now: float) -> SubjectKey:
        """Returns the key with which a subject's rows are sealed now; makes one where there is none, or only an old or unreadable one.

        Args:
            tables: the store.
            subject: whose.
            now: POSIX time, seconds.
        """
        query = "SELECT * FROM subject_keys WHERE subject = ? AND create_time > ? ORDER BY key DESC LIMIT 1"
        for row in list(tables.query(query, [self.subject(subject), now - _KEY_SECONDS])):
            try:
                return self._opened(row)
            except Unreadable:
                break
        return self._made(tables, subject, now)

    def held(self, tables: Tables, number: int) -> SubjectKey:
        """Returns the key of this number.

        Raises:
            Unreadable: it was destroyed, or wrapped by another device's key.
        """
        for row in list(tables.query("SELECT * FROM subject_keys WHERE key = ?", [number])):
            return self._opened(row)
        raise Unreadable

    def erased_since(self, tables: Tables, subject: Subject, asked_time: float) -> bool:
        """Says whether a subject was forgotten after it asked: what its prompt would leave behind is not to be kept.

        Args:
            tables: the store.
            subject: whose prompt.
            asked_time: when it came, POSIX time, seconds.
        """
        query = "SELECT 1 FROM erasures WHERE owner = ? AND (subject IS NULL OR subject = ?) AND erase_time >= ?"
        return bool(tables.execute(query, [self.owner(subject.client), self.subject(subject), asked_time]).fetchone())

    def fit(self, tables: Tables) -> bool:
        """Says whether the store was sealed under this device's key. To a store that never was, it is."""
        check = self.digest("check")
        row = tables.execute("SELECT key_check FROM sealing").fetchone()
        if row is None:
            tables.table("sealing").insert({"id": 1, "key_check": check})
        return row is None or bool(row[0] == check)

    def adopt(self, tables: Tables, lost_rows: int, now: float) -> None:
        """Takes over a store that was sealed under another key, and notes what was lost."""
        tables.table("sealing").update(1, {"key_check": self.digest("check"), "lost_rows": lost_rows, "lost_time": now})

    def _opened(self, row: dict[str, Any]) -> SubjectKey:
        return self._key(row["key"], self._wrapping.open(row["wrapped"], row["owner"], row["subject"]), row["subject"])

    def _made(self, tables: Tables, subject: Subject, now: float) -> SubjectKey:
        key, owner, name = self._random_bytes(KEY_BYTES), self.owner(subject.client), self.subject(subject)
        row = [owner, name, self._wrapping.seal(key, owner, name), now]
        number = tables.execute("INSERT INTO subject_keys (owner, subject, wrapped, create_time) VALUES (?, ?, ?, ?)", row).lastrowid
        return self._key(int(number or 0), key, name)

    def _key(self, number: int, key: bytes, subject: str) -> SubjectKey:
        return SubjectKey(number, Sealer(key, subject, random_bytes=self._random_bytes))
