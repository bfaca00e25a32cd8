"""Conversations, bound to their clients."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.prompts import Message, Prompt
from agent.store.conversations import ConversationStore
from agent.store.database import Database

AGE_SECONDS = 100.0


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "agent.db")
    yield opened
    opened.close()


def prompt(client: str, conversation: str, prompt_id: str, text: str = "") -> Prompt:
    return Prompt(prompt_id, client, (Message("user", text),), datetime.now(UTC), conversation)


async def test_a_prompt_that_is_tried_again_does_not_see_its_own_first_try(database: Database) -> None:
    store = ConversationStore(database, AGE_SECONDS)
    await store.append(prompt("c", "tea", "p1", "one"), Message("assistant", "first"), 1.0)
    assert await store.earlier(prompt("c", "tea", "p1", "one"), 2.0) == ()
    await store.append(prompt("c", "tea", "p1", "one"), Message("assistant", "second"), 2.0)
    assert await store.earlier(prompt("c", "tea", "p2"), 3.0) == (Message("user", "one"), Message("assistant", "second"))


async def test_what_is_too_old_is_deleted_and_not_only_hidden(database: Database) -> None:
    store = ConversationStore(database, AGE_SECONDS)
    await store.append(prompt("c", "tea", "p1", "old"), Message("assistant", "x"), 0.0)
    assert len(await store.earlier(prompt("c", "tea", "p2"), AGE_SECONDS)) == 2
    assert await store.earlier(prompt("c", "tea", "p2"), AGE_SECONDS + 1) == ()
    await store.append(prompt("other", "x", "p1", "new"), Message("assistant", "x"), AGE_SECONDS + 1)
    assert await database.run(lambda tables: [row["content"] for row in tables.table("turns").rows]) == ["new", "x"]


async def test_a_prompt_without_a_conversation_has_no_past(database: Database) -> None:
    store = ConversationStore(database, AGE_SECONDS)
    await store.append(prompt("c", "tea", "p1", "one"), Message("assistant", "x"), 1.0)
    lone = Prompt("p2", "c", (Message("user", "two"),), datetime.now(UTC))
    assert await store.earlier(lone, 1.0) == ()
