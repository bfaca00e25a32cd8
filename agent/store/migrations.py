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


def _m0007_rollouts(database: Database) -> None:
    """What rollouts want of this agent and how far it is; what live traffic and people say of each model, free of content."""
    database.table("rollouts").create(
        {"rollout": str, "sequence": int, "wanted": bytes, "report": bytes, "before": str, "probation": str},
        pk="rollout",
        not_null={"sequence", "wanted", "report", "before", "probation"},
        strict=True,
    )
    database.table("live_counts").create(
        {"model_digest": str, "answers": int, "errors": int, "unsure": int},
        pk="model_digest",
        not_null={"answers", "errors", "unsure"},
        strict=True,
    )
    database.table("feedback").create(
        {"receipt_id": str, "model_digest": str, "is_good": int, "create_time": float},
        pk="receipt_id",
        not_null={"model_digest", "is_good", "create_time"},
        strict=True,
    )
    database.table("feedback").create_index(["model_digest", "is_good"])
    database.table("feedback").create_index(["create_time"])
    database.execute("CREATE INDEX idx_receipts_prompt ON receipts (client, json_extract(receipt, '$.prompt_id'))")


_SEALED = """
CREATE TABLE subject_keys (
    key INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, owner TEXT NOT NULL, wrapped BLOB NOT NULL, create_time REAL NOT NULL
) STRICT;
CREATE INDEX idx_subject_keys_subject ON subject_keys (subject, key);
CREATE INDEX idx_subject_keys_owner ON subject_keys (owner);
CREATE TABLE sealing (id INTEGER PRIMARY KEY, key_check TEXT NOT NULL, lost_rows INTEGER, lost_time REAL) STRICT;
CREATE TABLE erasures (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, subject TEXT, erase_time REAL NOT NULL, scrubbed INTEGER NOT NULL
) STRICT;
CREATE INDEX idx_erasures_owner ON erasures (owner);
CREATE TABLE inbox (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    key INTEGER NOT NULL REFERENCES subject_keys (key) ON DELETE CASCADE,
    client TEXT NOT NULL,
    prompt_id TEXT NOT NULL,
    payload_digest TEXT NOT NULL,
    response_topic TEXT NOT NULL,
    correlation_data BLOB,
    received_time REAL NOT NULL,
    packet_id INTEGER,
    attempts INTEGER NOT NULL,
    content_type TEXT,
    delivered_time REAL,
    trace_parent TEXT NOT NULL DEFAULT '',
    payload BLOB NOT NULL,
    answer BLOB
) STRICT;
CREATE UNIQUE INDEX idx_inbox_client_prompt_id ON inbox (client, prompt_id);
CREATE INDEX idx_inbox_delivered_time_content_type ON inbox (delivered_time, content_type);
CREATE INDEX idx_inbox_key ON inbox (key);
CREATE TABLE turns (
    turn INTEGER PRIMARY KEY AUTOINCREMENT,
    key INTEGER NOT NULL REFERENCES subject_keys (key) ON DELETE CASCADE,
    prompt TEXT NOT NULL,
    position INTEGER NOT NULL,
    role TEXT NOT NULL,
    content BLOB NOT NULL,
    create_time REAL NOT NULL
) STRICT;
CREATE INDEX idx_turns_key ON turns (key, turn);
CREATE INDEX idx_turns_create_time ON turns (create_time);
CREATE TABLE answers (
    digest TEXT PRIMARY KEY,
    key INTEGER NOT NULL REFERENCES subject_keys (key) ON DELETE CASCADE,
    answer BLOB NOT NULL,
    create_time REAL NOT NULL,
    used_time REAL NOT NULL
) STRICT;
CREATE INDEX idx_answers_key ON answers (key);
CREATE INDEX idx_answers_used_time ON answers (used_time);
CREATE INDEX idx_answers_create_time ON answers (create_time);
CREATE TABLE vault (
    subject TEXT PRIMARY KEY,
    key INTEGER NOT NULL REFERENCES subject_keys (key) ON DELETE CASCADE,
    content BLOB NOT NULL,
    create_time REAL NOT NULL
) STRICT;
CREATE INDEX idx_vault_key ON vault (key);
CREATE INDEX idx_vault_create_time ON vault (create_time);
CREATE TABLE outbox (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    entry_id TEXT NOT NULL UNIQUE,
    key INTEGER NOT NULL REFERENCES subject_keys (key) ON DELETE CASCADE,
    asker BLOB NOT NULL,
    content BLOB NOT NULL,
    create_time REAL NOT NULL,
    expire_time REAL NOT NULL,
    attempts INTEGER NOT NULL
) STRICT;
CREATE INDEX idx_outbox_key ON outbox (key);
CREATE INDEX idx_outbox_expire_time ON outbox (expire_time);
"""


def _m0008_sealed(database: Database) -> None:
    """What bears a prompt or an answer is sealed. The rows so far are put aside: `clear_rows` has the key, and moves them here."""
    for table in ("inbox", "turns", "answers"):
        for index in database.table(table).indexes:
            if index.origin == "c":
                database.execute(f"DROP INDEX {index.name}")
        database.execute(f"ALTER TABLE {table} RENAME TO clear_{table}")
    for statement in _SEALED.split(";"):
        database.execute(statement)


def _m0009_receipt_log(database: Database) -> None:
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


def _m0010_sharing(database: Database) -> None:
    """Whether the policy let a receipt leave the site and the prompt be counted when it was written; nobody was asked of older ones."""
    for column in ("may_record", "may_learn", "recorded"):
        database.table("receipts").add_column(column, int, not_null_default=0)
    database.execute("CREATE INDEX idx_receipts_unrecorded ON receipts (leaf) WHERE may_record = 1 AND recorded = 0")


def _m0011_privacy(database: Database) -> None:
    """Answers that a better one may follow; the class of each conversation; what heads of the log say of those before."""
    database.table("inbox").add_column("better_until", float)
    database.table("receipt_heads").add_column("chain", str)
    database.execute(
        "CREATE TABLE classes (subject TEXT PRIMARY KEY, key INTEGER NOT NULL REFERENCES subject_keys (key) ON DELETE CASCADE, "
        "content BLOB NOT NULL, create_time REAL NOT NULL) STRICT"
    )
    database.table("classes").create_index(["key"])
    database.table("classes").create_index(["create_time"])


def _m0012_learning(database: Database) -> None:
    """What this device has contributed to sums over the fleet, and the newest roster that it has seen. Nothing of it is ever deleted."""
    database.table("learning_windows").create(
        {"window": str, "round": str, "spend_time": float, "cohort": int, "is_exact": int, "rho": float, "counts": str},
        pk="window",
        not_null={"round", "spend_time", "cohort", "is_exact", "rho"},
        strict=True,
    )
    database.table("learning_roster").create({"id": int, "version": int}, pk="id", not_null={"version"}, strict=True)


def _m0013_questions(database: Database) -> None:
    """What an answer was to, so that a question that means the same is found: sealed, and gone, with the answer itself."""
    for column, kind in (("scope", str), ("question", bytes), ("vector", bytes)):
        database.table("answers").add_column(column, kind)


def _m0014_sketches(database: Database) -> None:
    """Sketches of prompts whose answers may be counted: derived from what was asked, so sealed, and gone with whoever asked."""
    database.execute(
        "CREATE TABLE sketches (receipt_id TEXT PRIMARY KEY REFERENCES receipts (receipt_id) ON DELETE CASCADE, "
        "key INTEGER NOT NULL REFERENCES subject_keys (key) ON DELETE CASCADE, content BLOB NOT NULL, create_time REAL NOT NULL) STRICT"
    )
    database.table("sketches").create_index(["key"])
    database.table("sketches").create_index(["create_time"])


def _m0015_given(database: Database) -> None:
    """Which kept answer a prompt was given: a row goes with the answer, with the receipt and with whoever asked."""
    database.execute(
        "CREATE TABLE given (receipt_id TEXT PRIMARY KEY REFERENCES receipts (receipt_id) ON DELETE CASCADE, "
        "key INTEGER NOT NULL REFERENCES subject_keys (key) ON DELETE CASCADE, "
        "digest TEXT NOT NULL REFERENCES answers (digest) ON DELETE CASCADE) STRICT"
    )
    database.table("given").create_index(["key"])
    database.table("given").create_index(["digest"])


def _m0016_similarities(database: Database) -> None:
    """How similar a question was to the one whose answer was given from the cache: sealed as its sketch is."""
    database.table("sketches").add_column("similarity", bytes)


MIGRATIONS: tuple[Callable[[Database], None], ...] = (
    _m0001_inbox,
    _m0002_conversations,
    _m0003_answers,
    _m0004_receipts,
    _m0005_fleet,
    _m0006_traces,
    _m0007_rollouts,
    _m0008_sealed,
    _m0009_receipt_log,
    _m0010_sharing,
    _m0011_privacy,
    _m0012_learning,
    _m0013_questions,
    _m0014_sketches,
    _m0015_given,
    _m0016_similarities,
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
