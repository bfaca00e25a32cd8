"""Forgetting: what goes, what stays, and that nothing of it is left in any file."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlite_utils import Database as Tables

from agent.prompts import Message, Prompt
from agent.store.answers import AnswerStore
from agent.store.audit import ReceiptStore
from agent.store.classes import ClassStore
from agent.store.conversations import ConversationStore
from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.given import Given
from agent.store.inbox import Inbox, NewPrompt
from agent.store.outbox import Outbox, OutboxEntry
from agent.store.sketches import SketchStore
from agent.store.subjects import SEALED_TABLES, Subject
from agent.store.vault import Vault
from contract.classification import DataClass
from tests.fakes.answerer import receipt

NOW = 1_000_000.0
TIME = datetime.fromtimestamp(NOW, UTC)
TEA, MILK, LONE, OTHER = Subject("till", "tea"), Subject("till", "milk"), Subject("till"), Subject("door", "tea")
ALL = (TEA, MILK, LONE, OTHER)


@dataclass
class Planted:
    """Fills every table for a subject, and reads it back."""

    database: Database

    def __post_init__(self) -> None:
        self.answers, self.turns = AnswerStore(self.database, 100, 1e9), ConversationStore(self.database, 1e9)
        self.inbox, self.vault, self.outbox = Inbox(self.database), Vault(self.database, 1e9), Outbox(self.database, 100)
        self.classes, self.sketches = ClassStore(self.database, 1e9), SketchStore(self.database)

    async def plant(self, subject: Subject) -> None:
        name = f"{subject.client}-{subject.conversation}"
        canary = f"canary {name}"
        prompt = Prompt(name, subject.client, (Message("user", canary),), TIME, subject.conversation)
        await self.answers.put(name, canary, subject, NOW, NOW)
        await self.turns.append(prompt, Message("assistant", canary), NOW)
        new = NewPrompt(subject.client, name, canary.encode(), "topic", b"c", TIME, conversation=subject.conversation)
        await self.inbox.put(new, 100)
        await self.vault.put(subject.client, subject.conversation, canary.encode(), NOW)
        await self.classes.rise(subject, DataClass.CONFIDENTIAL, NOW, NOW)
        await self.outbox.append(OutboxEntry(name, subject, canary.encode(), NOW, NOW + 100))
        shown, given = replace(receipt(name), receipt_id=name), Given(name, subject, NOW)
        await ReceiptStore(self.database, 1e9).append(subject.client, shown, NOW, may_learn=True, given=given)
        await self.sketches.put(name, (0, 1, 1, 0), subject, NOW, NOW)

    async def held(self, subject: Subject) -> set[str]:
        """Returns the tables in which something of a subject can be read."""
        name = f"{subject.client}-{subject.conversation}"
        asked = Prompt("new", subject.client, (), TIME, subject.conversation)
        rows = await self.database.run(lambda tables: list(tables.table("inbox").rows))
        given = await self.database.run(lambda tables: list(tables.table("given").rows))
        waiting = await self.database.run(lambda tables: list(tables.table("outbox").rows))
        data_class = await self.classes.rise(subject, DataClass.PUBLIC, NOW, NOW)
        sketch = await self.database.run(lambda tables: self.sketches.of(tables, name))
        return {
            *(["sketches"] if sketch else []),
            *(["given"] if name in [row["receipt_id"] for row in given] else []),
            *(["classes"] if data_class is DataClass.CONFIDENTIAL else []),
            *(["answers"] if await self.answers.get(name, NOW) else []),
            *(["turns"] if await self.turns.earlier(asked, NOW) else []),
            *(["inbox"] if name in [row["prompt_id"] for row in rows] else []),
            *(["outbox"] if name in [row["entry_id"] for row in waiting] else []),
            *(["vault"] if await self.vault.get(subject.client, subject.conversation) else []),
        }


async def planted(database: Database) -> Planted:
    store = Planted(database)
    for subject in ALL:
        await store.plant(subject)
        assert await store.held(subject) == set(SEALED_TABLES)
    return store


@pytest.mark.parametrize(("forgotten", "gone"), [(TEA, {TEA}), (LONE, {TEA, MILK, LONE}), (OTHER, {OTHER}), (Subject("x"), set())])
async def test_all_of_a_subject_goes_and_nothing_of_another(database: Database, forgotten: Subject, gone: set[Subject]) -> None:
    store = await planted(database)
    removed = await forget(database, forgotten, NOW + 1)
    for subject in ALL:
        assert await store.held(subject) == (set() if subject in gone else set(SEALED_TABLES))
    rows = len(gone)
    assert removed == {**dict.fromkeys((*SEALED_TABLES, "subject_keys"), rows), "turns": 2 * rows}
    assert len(await ReceiptStore(database, 1e9).latest(10)) == len(ALL)


async def test_nothing_of_it_is_left_in_any_file_not_even_sealed(database: Database, tmp_path: Path) -> None:
    await planted(database)
    secrets = await database.run(sealed_bytes)
    assert all(secret in raw_bytes(tmp_path) for secret in secrets)
    await forget(database, LONE, NOW + 1)
    await forget(database, OTHER, NOW + 1)
    raw = raw_bytes(tmp_path)
    assert not [secret for secret in secrets if secret in raw]
    assert b"canary" not in raw


def sealed_bytes(tables: Tables) -> list[bytes]:
    """Every wrapped key and every sealed value in the store."""
    values = [value for table in (*SEALED_TABLES, "subject_keys") for row in tables.table(table).rows for value in row.values()]
    return [value for value in values if isinstance(value, bytes) and len(value) > 28]


def raw_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("agent.db*"))


async def test_a_client_can_ask_again_after_it_was_forgotten(database: Database) -> None:
    store = Planted(database)
    await forget(database, LONE, NOW - 1)
    await store.plant(TEA)
    assert await store.held(TEA) == set(SEALED_TABLES)


async def test_what_lies_under_a_lost_key_is_found_by_the_clients_name(tmp_path: Path) -> None:
    first = Database(tmp_path / "agent.db", b"a" * 32)
    await Planted(first).plant(TEA)
    first.close()
    second = Database(tmp_path / "agent.db", b"b" * 32)
    assert (await forget(second, LONE, NOW + 1))["inbox"] == 1
    assert await second.run(lambda tables: tables.table("inbox").count) == 0
    second.close()


async def test_another_process_that_has_the_store_open_sees_it_gone_and_writes_on(database: Database, tmp_path: Path) -> None:
    store = await planted(database)
    beside = Database(tmp_path / "agent.db")
    await forget(beside, LONE, NOW + 1)
    beside.close()
    assert await store.held(TEA) == set()
    assert await store.held(OTHER) == set(SEALED_TABLES)
    await store.vault.put("till", "tea", b"new", NOW + 2)
    assert await store.vault.get("till", "tea") == b"new"
