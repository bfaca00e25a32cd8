"""The tables, as the list of steps that made them. Steps are only ever added; each is one transaction."""

import json
import sqlite3
from collections.abc import Callable, Sequence

from sqlite_utils import Database

from contract.merkle import Frontier, leaf_hash


def _m0001_inbox(database: Database) -> None:
    """Prompts that were acknowledged, until their answer is delivered and forgotten."""
    database.table("inbox").create(
        {
            "sequence": int,
            "client": str,
            "prompt_id": str,
            "payload_sha256": str,
            "response_topic": str,
            "correlation_data": bytes,
            "received_time": float,
            "packet_id": int,
            "attempts": int,
            "content_type": str,
            "delivered_time": float,
            "payload": bytes,
            "answer": bytes,
        },
        pk="sequence",
        not_null={"client", "prompt_id", "payload", "payload_sha256", "response_topic", "received_time", "attempts"},
        strict=True,
    )
    database.table("inbox").create_index(["client", "prompt_id"], unique=True)
    database.table("inbox").create_index(["delivered_time", "content_type"])


def _m0002_conversations(database: Database) -> None:
    """Turns of conversations, bound to the client that began them."""
    database.table("turns").create(
        {"turn": int, "client": str, "conversation": str, "prompt_id": str, "role": str, "content": str, "create_time": float},
        pk="turn",
        not_null={"client", "conversation", "prompt_id", "role", "content", "create_time"},
        strict=True,
    )
    database.table("turns").create_index(["client", "conversation", "turn"])
    database.table("turns").create_index(["create_time"])  # forgetting looks for it at every turn


def _m0003_answers(database: Database) -> None:
    """The exact cache."""
    database.table("answers").create(
        {"digest": str, "answer": str, "create_time": float, "used_time": float},
        pk="digest",
        not_null={"answer", "create_time", "used_time"},
        strict=True,
    )
    database.table("answers").create_index(["used_time"])
    database.table("answers").create_index(["create_time"])


def _m0004_receipts(database: Database) -> None:
    """What was done with each prompt, free of content."""
    database.table("receipts").create(
        {"sequence": int, "receipt_id": str, "client": str, "receipt": str, "create_time": float},
        pk="sequence",
        not_null={"receipt_id", "client", "receipt", "create_time"},
        strict=True,
    )
    database.table("receipts").create_index(["receipt_id"], unique=True)
    database.table("receipts").create_index(["create_time"])


def _m0005_fleet(database: Database) -> None:
    """What the hub wants of this agent, and what it has told it to do."""
    database.table("desired_state").create(
        {"id": int, "generation": int, "configuration": bytes},
        pk="id",
        not_null={"generation", "configuration"},
        strict=True,
    )
    database.table("commands").create(
        {
            "sequence": int,
            "name": str,
            "action": int,
            "log_lines": int,
            "expire_time": float,
            "state": int,
            "output": str,
            "error": str,
            "received": int,
        },
        pk="sequence",
        not_null={"name", "action", "log_lines", "expire_time", "state", "output", "error", "received"},
        strict=True,
    )
    database.table("commands").create_index(["name"], unique=True)


def _m0006_traces(database: Database) -> None:
    """The trace that a prompt belongs to."""
    database.table("inbox").add_column("trace_parent", str, not_null_default="")


def _m0007_receipt_log(database: Database) -> None:
    """Receipts become the leaves of a log; those that are there are its first."""
    database.table("receipts").add_column("leaf", int)
    database.execute(
        "CREATE TABLE receipt_nodes (level INTEGER NOT NULL, position INTEGER NOT NULL, hash BLOB NOT NULL, "
        "PRIMARY KEY (level, position)) STRICT, WITHOUT ROWID"
    )
    database.table("receipt_heads").create(
        {
            "size": int,
            "log": str,
            "root": bytes,
            "time": str,
            "public_key": bytes,
            "signature": bytes,
            "witness_time": str,
            "witness_key": bytes,
            "witness_signature": bytes,
        },
        pk="size",
        not_null={"log", "root", "time", "public_key", "signature"},
        strict=True,
    )
    frontier, last = Frontier(), -1
    while rows := database.execute(
        "SELECT sequence, client, receipt FROM receipts WHERE sequence > ? ORDER BY sequence LIMIT 1000", [last]
    ).fetchall():
        for sequence, client, receipt in rows:
            fields = {**json.loads(receipt), "client": client, "format_version": 1}
            text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
            database.execute("UPDATE receipts SET receipt = ?, leaf = ? WHERE sequence = ?", [text, frontier.size, sequence])
            made = [(node.level, node.position, node.hash) for node in frontier.append(leaf_hash(text.encode()))]
            database.conn.executemany("INSERT INTO receipt_nodes VALUES (?, ?, ?)", made)
            last = sequence
    database.table("receipts").create_index(["leaf"], unique=True)


MIGRATIONS: tuple[Callable[[Database], None], ...] = (
    _m0001_inbox,
    _m0002_conversations,
    _m0003_answers,
    _m0004_receipts,
    _m0005_fleet,
    _m0006_traces,
    _m0007_receipt_log,
)


def migrate(database: Database, steps: Sequence[Callable[[Database], None]] = MIGRATIONS) -> None:
    """Applies the steps that this file has not seen.

    Args:
        database: the file.
        steps: all of them, in order.

    Raises:
        sqlite3.DatabaseError: the file has seen steps that this version does not know.
    """
    with database.atomic():
        database.execute(
            "CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, apply_time TEXT NOT NULL DEFAULT (datetime('now'))) STRICT"
        )
    applied = {name for (name,) in database.execute("SELECT name FROM migrations").fetchall()}
    unknown = applied - {step.__name__ for step in steps}
    if unknown:
        raise sqlite3.DatabaseError(
            f"the store was made by a newer seawall-agent (it has {', '.join(sorted(unknown))}): install that version"
        )
    for step in steps:
        if step.__name__ not in applied:
            with database.atomic():
                step(database)
                database.table("migrations").insert({"name": step.__name__})
