"""The table `inbox`: prompts that were taken, until their answers are delivered and forgotten."""

import hashlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar, cast

from sqlite_utils import Database as Tables

from agent.store.database import Database, unusable
from agent.store.sealing import Unreadable
from agent.store.subjects import Subject, SubjectKeys
from contract.errors import Busy, Conflict, Reason

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NewPrompt:
    """A prompt as it came.

    Args:
        client: who asks.
        prompt_id: unique for this client.
        payload: the bytes that came.
        response_topic: where the answer goes.
        correlation_data: to be sent back with it.
        received_time: when it came.
        packet_id: of the MQTT packet, where the prompt brought no id of its own: when the broker sends the packet again, it is known by it.
        redelivered: the broker says that it may have sent this packet before.
        trace_parent: of the trace that it belongs to, as W3C writes it; empty: of none.
        conversation: that it belongs to; None: to none. Says with whom the prompt is forgotten.
    """

    client: str
    prompt_id: str
    payload: bytes
    response_topic: str
    correlation_data: bytes | None
    received_time: datetime
    packet_id: int | None = None
    redelivered: bool = False
    trace_parent: str = ""
    conversation: str | None = None


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """A prompt in the inbox.

    Args:
        sequence: its place in the order of arrival.
        payload: the bytes that came; None: they can no longer be opened.
        attempts: how often work on it has begun, this time included.
        answer: None until there is one, and where it can no longer be opened.
        content_type: of the answer; None until there is one.
    """

    sequence: int
    client: str
    prompt_id: str
    payload: bytes | None
    response_topic: str
    correlation_data: bytes | None
    received_time: datetime
    attempts: int
    answer: bytes | None
    content_type: str | None
    trace_parent: str


class Wanted(Enum):
    """Whether a better answer to a prompt is still wanted."""

    NO = "no"
    NOT_YET = "not yet"
    """The provisional one is not delivered."""
    YES = "yes"


class Inbox:
    """The inbox. When a method returns, what it did is on the disk.

    Args:
        database: the agent's store.

    Raises:
        Unavailable: STORE_UNAVAILABLE, by every method: the disk is full or broken.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys = database.keys

    async def put(self, prompt: NewPrompt, max_waiting: int) -> bool:
        """Takes a prompt, once. Returns whether it is new; False: the same one was taken before.

        Args:
            prompt: the prompt.
            max_waiting: with so many unanswered ones, no other is taken.

        Raises:
            Conflict: PROMPT_ID_USED, the client asked something else under this id.
            Busy: QUEUE_FULL.
        """
        return await self._run(lambda tables: _put(tables, self._keys, prompt, max_waiting))

    async def begin(self, after: int) -> InboxEntry | None:
        """Returns the first unanswered prompt behind a place, and counts the attempt to answer it; None: there is none.

        Args:
            after: the sequence number of the one before; 0 for the oldest of all.
        """
        return await self._run(lambda tables: _begin(tables, self._keys, after))

    async def set_answer(self, sequence: int, answer: bytes, content_type: str, better_until: datetime | None = None) -> None:
        """Keeps a prompt's answer, to be delivered, and drops what was asked: its digest is enough to know the same prompt again.

        Args:
            sequence: of the prompt.
            answer: to it.
            content_type: of the answer.
            better_until: until when a better one may follow; None: this one is the last.
        """
        await self._run(lambda tables: _set_answer(tables, self._keys, sequence, answer, content_type, better_until))

    async def wants_better(self, client: str, prompt_id: str, now: datetime) -> Wanted:
        """Says whether a better answer to a prompt is wanted."""
        return await self._run(lambda tables: _wants_better(_named(tables, client, prompt_id), now))

    async def set_better_answer(self, client: str, prompt_id: str, answer: bytes, content_type: str, now: datetime) -> bool:
        """Keeps a better answer, to be delivered behind the one that was. Returns whether it is wanted; else nothing is kept."""

        def work(tables: Tables) -> bool:
            row = _named(tables, client, prompt_id)
            if row is None or _wants_better(row, now) is not Wanted.YES:
                return False
            _set_answer(tables, self._keys, row["sequence"], answer, content_type)
            tables.table("inbox").update(row["sequence"], {"delivered_time": None})
            return True

        return await self._run(work)

    async def undelivered(self, limit: int) -> list[InboxEntry]:
        """Returns the oldest answers that are still to be delivered."""
        query = "SELECT * FROM inbox WHERE delivered_time IS NULL AND content_type IS NOT NULL ORDER BY sequence LIMIT ?"
        return await self._run(lambda tables: [_entry(tables, self._keys, row) for row in list(tables.query(query, [limit]))])

    async def set_delivered(self, sequence: int, now: datetime) -> None:
        """Marks an answer as delivered, and drops it, and where no better one may follow, what would go with that."""
        await self._write(
            "UPDATE inbox SET delivered_time = ?1, answer = x'', correlation_data = iif(better_until > ?1, correlation_data, NULL) "
            "WHERE sequence = ?2",
            now.timestamp(),
            sequence,
        )

    async def forget(self, delivered_before: datetime, now: datetime) -> None:
        """Deletes what was delivered before a time, but for what waits for a better answer. Its ids may be used again."""
        await self._write(
            "DELETE FROM inbox WHERE delivered_time < ? AND ifnull(better_until, 0) <= ?", delivered_before.timestamp(), now.timestamp()
        )

    async def _write(self, statement: str, *parameters: Any) -> None:
        await self._run(lambda tables: tables.execute(statement, parameters))

    async def _run(self, work: Callable[[Tables], T]) -> T:
        try:
            return await self._database.run(work)
        except sqlite3.OperationalError as error:
            raise unusable(error) from error


def _put(tables: Tables, keys: SubjectKeys, prompt: NewPrompt, max_waiting: int) -> bool:
    digest = keys.digest("payload", prompt.client, hashlib.sha256(prompt.payload).hexdigest())
    if prompt.redelivered and prompt.packet_id is not None and _has_packet(tables, prompt, digest):
        return False
    earlier = _first(tables, "SELECT payload_digest FROM inbox WHERE client = ? AND prompt_id = ?", prompt.client, prompt.prompt_id)
    if earlier is not None:
        if earlier["payload_digest"] == digest:
            return False
        raise Conflict(Reason.PROMPT_ID_USED, "This id was used for another prompt: give every prompt an id of its own, such as a UUID.")
    waiting = _first(tables, "SELECT count(*) AS prompts FROM inbox WHERE delivered_time IS NULL AND content_type IS NULL")
    if waiting is not None and waiting["prompts"] >= max_waiting:
        raise Busy(Reason.QUEUE_FULL, f"{max_waiting} prompts are waiting already: send this one again later.")
    _insert(tables, keys, prompt, digest)
    return True


def _has_packet(tables: Tables, prompt: NewPrompt, digest: str) -> bool:
    query = "SELECT 1 FROM inbox WHERE client = ? AND payload_digest = ? AND packet_id = ?"
    return _first(tables, query, prompt.client, digest, prompt.packet_id) is not None


def _insert(tables: Tables, keys: SubjectKeys, prompt: NewPrompt, digest: str) -> None:
    if prompt.packet_id is not None:
        # The broker gives a packet's id to another one only when it knows that the first has arrived.
        tables.execute("UPDATE inbox SET packet_id = NULL WHERE packet_id = ?", [prompt.packet_id])
    received_time = prompt.received_time.timestamp()
    key = keys.current(tables, Subject(prompt.client, prompt.conversation), received_time)
    tables.table("inbox").insert(
        {
            "key": key.number,
            "client": prompt.client,
            "prompt_id": prompt.prompt_id,
            "payload": key.sealer.seal(prompt.payload, "inbox", "payload", prompt.client, prompt.prompt_id),
            "payload_digest": digest,
            "response_topic": prompt.response_topic,
            "correlation_data": prompt.correlation_data,
            "received_time": received_time,
            "packet_id": prompt.packet_id,
            "attempts": 0,
            "trace_parent": prompt.trace_parent,
        }
    )


def _begin(tables: Tables, keys: SubjectKeys, after: int) -> InboxEntry | None:
    query = "SELECT * FROM inbox WHERE delivered_time IS NULL AND content_type IS NULL AND sequence > ? ORDER BY sequence LIMIT 1"
    row = _first(tables, query, after)
    if row is None:
        return None
    tables.execute("UPDATE inbox SET attempts = attempts + 1 WHERE sequence = ?", [row["sequence"]])
    return _entry(tables, keys, {**row, "attempts": row["attempts"] + 1})


def _set_answer(
    tables: Tables, keys: SubjectKeys, sequence: int, answer: bytes, content_type: str, better_until: datetime | None = None
) -> None:
    row = _first(tables, "SELECT key, client, prompt_id, received_time FROM inbox WHERE sequence = ?", sequence)
    if row is None:  # its client was forgotten meanwhile
        return
    try:
        key = keys.held(tables, row["key"])
    except Unreadable:
        key = keys.current(tables, Subject(row["client"]), row["received_time"])
    sealed = key.sealer.seal(answer, "inbox", "answer", row["client"], row["prompt_id"])
    until = None if better_until is None else better_until.timestamp()
    values = {"key": key.number, "answer": sealed, "content_type": content_type, "payload": b"", "better_until": until}
    tables.table("inbox").update(sequence, values)


def _named(tables: Tables, client: str, prompt_id: str) -> dict[str, Any] | None:
    return _first(tables, "SELECT * FROM inbox WHERE client = ? AND prompt_id = ?", client, prompt_id)


def _wants_better(row: dict[str, Any] | None, now: datetime) -> Wanted:
    if row is None:
        return Wanted.NO
    if row["content_type"] is None:  # it is being answered, perhaps again
        return Wanted.NOT_YET
    if row["better_until"] is None or row["better_until"] <= now.timestamp():
        return Wanted.NO
    return Wanted.NOT_YET if row["delivered_time"] is None else Wanted.YES


def _first(tables: Tables, query: str, *parameters: Any) -> dict[str, Any] | None:
    return next(iter(tables.query(query, parameters)), None)


def _entry(tables: Tables, keys: SubjectKeys, row: dict[str, Any]) -> InboxEntry:
    values = {field.name: row[field.name] for field in fields(InboxEntry)}
    opened = {column: _opened(tables, keys, row, column) for column in ("payload", "answer")}
    return InboxEntry(**{**values, **opened, "received_time": datetime.fromtimestamp(row["received_time"], UTC)})


def _opened(tables: Tables, keys: SubjectKeys, row: dict[str, Any], column: str) -> bytes | None:
    if not row[column]:  # not there yet, or dropped
        return cast(bytes | None, row[column])
    try:
        return keys.held(tables, row["key"]).sealer.open(row[column], "inbox", column, row["client"], row["prompt_id"])
    except Unreadable:
        return None
