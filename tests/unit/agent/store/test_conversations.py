"""Conversations, bound to their clients."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from sqlite_utils import Database as Tables

from agent.prompts import Message, Prompt
from agent.store.conversations import ConversationStore
from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.subjects import Subject

AGE_SECONDS = 100.0


def raw_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


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
    assert await database.run(lambda tables: tables.table("turns").count) == 2


async def test_a_prompt_without_a_conversation_has_no_past(database: Database) -> None:
    store = ConversationStore(database, AGE_SECONDS)
    await store.append(prompt("c", "tea", "p1", "one"), Message("assistant", "x"), 1.0)
    lone = Prompt("p2", "c", (Message("user", "two"),), datetime.now(UTC))
    assert await store.earlier(lone, 1.0) == ()


async def test_neither_words_nor_names_lie_in_the_file(database: Database, tmp_path: Path) -> None:
    store = ConversationStore(database, AGE_SECONDS)
    await store.append(prompt("c", "patient-4711", "p1", "one secret"), Message("assistant", "another secret"), 1.0)
    raw = raw_bytes(tmp_path)
    assert b"secret" not in raw
    assert b"patient-4711" not in raw


async def test_turns_that_were_moved_or_changed_are_left_out(database: Database) -> None:
    store = ConversationStore(database, AGE_SECONDS)
    for name in ("p1", "p2"):
        await store.append(prompt("c", "tea", name, f"asked {name}"), Message("assistant", f"answered {name}"), 1.0)
    for change in (
        "UPDATE turns SET role = 'system' WHERE turn = 1",
        "UPDATE turns SET content = (SELECT content FROM turns WHERE turn = 3) WHERE turn = 2",
        "UPDATE turns SET content = x'01' WHERE turn = 3",
    ):
        await database.run(partial(Tables.execute, sql=change))
    assert await store.earlier(prompt("c", "tea", "new"), 1.0) == (Message("assistant", "answered p2"),)


async def test_a_conversation_goes_on_over_the_change_of_its_key(database: Database) -> None:
    store = ConversationStore(database, age_seconds=1e9)
    await store.append(prompt("c", "tea", "p1", "one"), Message("assistant", "first"), 0.0)
    await store.append(prompt("c", "tea", "p2", "two"), Message("assistant", "second"), 31 * 24 * 3600.0)
    assert await database.run(lambda tables: tables.table("subject_keys").count) == 2
    turns = await store.earlier(prompt("c", "tea", "p3"), 31 * 24 * 3600.0)
    assert [turn.content for turn in turns] == ["one", "first", "two", "second"]


async def test_turns_of_a_prompt_that_came_before_its_conversation_was_forgotten_are_not_kept(database: Database) -> None:
    store, asked = ConversationStore(database, AGE_SECONDS), prompt("c", "tea", "p1", "one")
    later = asked.received_time.timestamp() + 1
    await forget(database, Subject("c", "tea"), later)
    await store.append(asked, Message("assistant", "x"), later)
    await store.append(prompt("c", "other", "p1", "one"), Message("assistant", "x"), later)
    assert await database.run(lambda tables: tables.table("turns").count) == 2
    assert await store.earlier(prompt("c", "tea", "p2"), later) == ()


async def test_a_better_answer_takes_the_place_of_the_last_one_alone(database: Database) -> None:
    store = ConversationStore(database, AGE_SECONDS)
    first, second = prompt("c", "tea", "p1", "one"), prompt("c", "tea", "p2", "two")
    await store.append(first, Message("assistant", "guess"), 1.0)
    assert await store.replace_answer(first, Message("assistant", "better"))
    await store.append(second, Message("assistant", "guess"), 2.0)
    assert not await store.replace_answer(first, Message("assistant", "too late"))
    assert not await store.replace_answer(prompt("thief", "tea", "p2"), Message("assistant", "stolen"))
    texts = [turn.content for turn in await store.earlier(prompt("c", "tea", "p3"), 3.0)]
    assert texts == ["one", "better", "two", "guess"]


async def test_no_better_answer_is_put_where_the_conversation_was_forgotten(database: Database) -> None:
    store = ConversationStore(database, AGE_SECONDS)
    await store.append(prompt("c", "tea", "p1", "one"), Message("assistant", "guess"), 1.0)
    await forget(database, Subject("c", "tea"), datetime.now(UTC).timestamp())
    assert not await store.replace_answer(prompt("c", "tea", "p1"), Message("assistant", "better"))
