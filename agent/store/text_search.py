"""Finds whose sealed rows hold a text: they are opened here, on the device, one after the other, and nothing of them is kept."""

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database as Tables

from agent.store.sealing import Unreadable
from agent.store.subjects import SubjectKey, SubjectKeys

BOUND: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "answers": (("answer", "question"), ("digest",)),
    "inbox": (("payload", "answer"), ("client", "prompt_id")),
    "outbox": (("asker", "content"), ("entry_id",)),
    "turns": (("content",), ("prompt", "position", "role")),
    "vault": (("content",), ("subject",)),
}
"""Of each table with words in it: its sealed columns, and what names the row in their places."""


@dataclass(frozen=True, slots=True, order=True)
class Whose:
    """Whose rows are meant, by digests: of a client, and of one of its conversations; None: all of them."""

    owner: str
    subject: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has come to.

    Args:
        whose: the conversations that hold the text, in order.
        unreadable: how many rows could not be opened, so that nobody knows what is in them.
    """

    whose: tuple[Whose, ...]
    unreadable: int


def search(tables: Tables, keys: SubjectKeys, text: str, owner: str | None = None) -> Found:
    """Looks for a text in all that is sealed.

    Args:
        tables: the store, within one transaction.
        keys: of this device.
        text: in any case and spacing; as a part of a word too, for a name takes endings.
        owner: the digest of the only client whose rows are looked at; None: of all.
    """
    wanted, found, unreadable, opened = folded(text), set[Whose](), 0, dict[int, SubjectKey]()
    for table, (columns, _) in BOUND.items():
        for row in _rows(tables, table, owner):
            whose = Whose(row["key_owner"], row["key_subject"])
            try:
                if whose not in found and any(
                    wanted in folded(word) for column in columns for word in _words(tables, keys, opened, table, column, row)
                ):
                    found.add(whose)
            except Unreadable:
                unreadable += 1
    return Found(tuple(sorted(found)), unreadable)


def folded(text: str) -> str:
    """Returns a text as it is compared: Unicode's compatibility form (UAX 15, NFKC), casefolded, each run of white space one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _rows(tables: Tables, table: str, owner: str | None) -> Iterator[dict[str, Any]]:
    query = f"SELECT t.*, k.owner AS key_owner, k.subject AS key_subject FROM {table} t JOIN subject_keys k USING (key)"  # noqa: S608 - of BOUND
    return tables.query(query) if owner is None else tables.query(f"{query} WHERE k.owner = ?", [owner])


def _words(tables: Tables, keys: SubjectKeys, opened: dict[int, SubjectKey], table: str, column: str, row: dict[str, Any]) -> Iterator[str]:
    """Yields what is in a column: as it stands, and, if that is JSON, each text in it, whose letters may be written as escapes."""
    if not row[column]:
        return
    if row["key"] not in opened:
        opened[row["key"]] = keys.held(tables, row["key"])
    place = (str(row[name]) for name in BOUND[table][1])
    content = opened[row["key"]].sealer.open(row[column], table, column, *place)
    yield content.decode("utf-8", "replace")
    try:
        yield from _texts(json.loads(content))
    except (ValueError, RecursionError):
        return


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
