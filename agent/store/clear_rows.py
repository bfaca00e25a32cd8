"""Seals the rows of a store that was written in clear, in one transaction with the step that has put them aside."""

from collections import Counter
from typing import Any

from sqlite_utils import Database as Tables

from agent.store.subjects import Subject, SubjectKeys

_CLEAR_TABLES = ("clear_inbox", "clear_turns", "clear_answers")


def seal_clear_rows(tables: Tables, keys: SubjectKeys) -> bool:
    """Moves the rows that are in clear to where they belong. Returns whether there were any: then the file is to be scrubbed.

    Answers of the cache are dropped: they do not say who asked.

    Args:
        tables: the store, with every step applied.
        keys: of this device.
    """
    present = [table for table in _CLEAR_TABLES if table in tables.table_names()]
    found = any(tables.table(table).count for table in present)
    if "clear_inbox" in present:
        tables.table("inbox").insert_all(_inbox_row(tables, keys, row) for row in list(tables.table("clear_inbox").rows))
    if "clear_turns" in present:
        _seal_turns(tables, keys)
    for table in present:
        tables.table(table).drop()
    return found


def _inbox_row(tables: Tables, keys: SubjectKeys, row: dict[str, Any]) -> dict[str, Any]:
    client, prompt_id = row["client"], row["prompt_id"]
    key = keys.current(tables, Subject(client), row["received_time"])
    sealed = {column: key.sealer.seal(row[column], "inbox", column, client, prompt_id) for column in ("payload", "answer") if row[column]}
    digest = keys.digest("payload", client, row.pop("payload_sha256"))
    return {**row, **sealed, "key": key.number, "payload_digest": digest}


def _seal_turns(tables: Tables, keys: SubjectKeys) -> None:
    positions: Counter[tuple[str, str]] = Counter()
    for row in list(tables.query("SELECT * FROM clear_turns ORDER BY turn")):
        key = keys.current(tables, Subject(row["client"], row["conversation"]), row["create_time"])
        prompt = keys.digest("prompt", row["client"], row["prompt_id"])
        position = positions[prompt, row["conversation"]]
        positions[prompt, row["conversation"]] += 1
        content = key.sealer.seal(row["content"].encode(), "turns", "content", prompt, str(position), row["role"])
        sealed = {name: row[name] for name in ("turn", "role", "create_time")}
        tables.table("turns").insert({**sealed, "key": key.number, "prompt": prompt, "position": position, "content": content})
