"""A text is found wherever it lies sealed, however it is written there."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from agent.prompts import Message, Prompt
from agent.store.answers import AnswerStore, KeptQuestion
from agent.store.conversations import ConversationStore
from agent.store.database import Database
from agent.store.erasure import forget_found
from agent.store.inbox import Inbox, NewPrompt
from agent.store.outbox import Outbox, OutboxEntry
from agent.store.subjects import SEALED_TABLES, Subject
from agent.store.text_search import BOUND, Found, Whose, folded, search
from agent.store.vault import Vault
from contract.classification import Finding
from contract.redaction import Vault as Map
from contract.redaction import redact

NOW = 1_000_000.0
TIME = datetime.fromtimestamp(NOW, UTC)
TEA, MILK, LONE = Subject("till", "tea"), Subject("till", "milk"), Subject("till")
NAME = "Zoë Müller"

Plant = Callable[[Database, Subject, str], Awaitable[object]]


async def turn(database: Database, subject: Subject, text: str) -> None:
    prompt = Prompt(f"p-{text[:4]}", subject.client, (Message("user", text),), TIME, subject.conversation)
    await ConversationStore(database, 1e9).append(prompt, Message("assistant", "yes"), NOW)


async def asked(database: Database, subject: Subject, text: str) -> None:
    payload = json.dumps({"prompt": text}).encode()  # with escapes for all that is not ASCII
    await Inbox(database).put(NewPrompt(subject.client, "p1", payload, "topic", None, TIME, conversation=subject.conversation), 9)


async def answered(database: Database, subject: Subject, text: str) -> None:
    inbox = Inbox(database)
    await inbox.put(NewPrompt(subject.client, "p1", b"{}", "topic", None, TIME, conversation=subject.conversation), 9)
    entry = await inbox.begin(0)
    assert entry is not None
    await inbox.set_answer(entry.sequence, json.dumps({"answer": text}, ensure_ascii=False).encode(), "application/json")


async def redacted(database: Database, subject: Subject, text: str) -> None:
    """In the map alone, as where the turns are too old."""
    kept = redact([text], [[Finding(0, len(text), "PERSON")]], Map(), lambda _: 0).vault
    await Vault(database, 1e9).put(subject.client, subject.conversation, kept.to_json(), NOW)


PLANTS: dict[str, Plant] = {
    "turns": turn,
    "inbox": asked,
    "inbox's answer": answered,
    "answers": lambda database, subject, text: AnswerStore(database, 9, 1e9).put("d", json.dumps({"text": text}), subject, NOW, NOW),
    "an answer's question": lambda database, subject, text: AnswerStore(database, 9, 1e9).put(
        "d", "{}", subject, NOW, NOW, KeptQuestion("s", text, b"")
    ),
    "outbox": lambda database, subject, text: Outbox(database, 9).append(
        OutboxEntry("e", subject, json.dumps([{"content": text}]).encode(), NOW, NOW + 9)
    ),
    "vault": redacted,
}


async def found(database: Database, text: str, owner: str | None = None) -> Found:
    return await database.run(lambda tables: search(tables, database.keys, text, owner))


def of(database: Database, subject: Subject) -> Whose:
    """That conversation alone; what belongs to none is one of its own."""
    return Whose(database.keys.owner(subject.client), database.keys.subject(subject))


def test_every_sealed_table_is_looked_through_but_the_one_without_words() -> None:
    assert set(BOUND) == set(SEALED_TABLES) - {"classes", "given", "sketches"}


@pytest.mark.parametrize("subject", [TEA, LONE])
@pytest.mark.parametrize("table", PLANTS)
async def test_it_is_found_in_each_table(database: Database, table: str, subject: Subject) -> None:
    await PLANTS[table](database, subject, NAME)
    await turn(database, MILK, "nothing of her")
    expected = Found((of(database, subject),), 0)
    assert await found(database, NAME) == expected
    assert await found(database, "zoë  MÜLLER") == expected
    assert (await found(database, "Zoe Maier")).whose == ()


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("ZOE\u0308 MU\u0308LLER", NAME),  # letters and marks apart
        ("Zoë\n\t Müllers Fahrrad", NAME),
        ("Straße", "STRASSE"),
        ("\uff21da", "ada"),  # a wide letter
        ('say "Zoë Müller"', NAME),
        ("4711", "4711"),  # is JSON, but no text
    ],
)
async def test_case_spacing_and_ways_to_write_a_letter_make_no_difference(database: Database, written: str, wanted: str) -> None:
    await turn(database, TEA, written)
    assert len((await found(database, wanted)).whose) == 1


def test_what_is_compared_is_one_form() -> None:
    assert folded(" A\u030a \n B ") == folded("å b")


async def test_with_a_client_only_its_rows_are_looked_at(database: Database) -> None:
    for subject in (TEA, Subject("door", "tea")):
        await turn(database, subject, NAME)
    assert (await found(database, NAME, database.keys.owner("door"))).whose == (of(database, Subject("door", "tea")),)


async def test_what_was_found_is_forgotten_under_all_of_its_keys_and_nothing_else(database: Database) -> None:
    month = timedelta(days=31).total_seconds()
    await turn(database, TEA, NAME)
    prompt = Prompt("later", "till", (Message("user", "and now?"),), TIME + timedelta(days=31), "tea")
    await ConversationStore(database, 1e9).append(prompt, Message("assistant", "yes"), NOW + month)
    await turn(database, MILK, "nothing of her")
    removed = await forget_found(database, (await found(database, NAME)).whose, NOW + 2 * month)
    assert (removed["turns"], removed["subject_keys"]) == (4, 2)
    assert await database.run(lambda tables: tables.table("turns").count) == 2
    await turn(database, TEA, "from before, answered late")
    assert await database.run(lambda tables: tables.table("turns").count) == 2


async def test_what_cannot_be_opened_is_counted_and_the_rest_found(database: Database) -> None:
    await turn(database, TEA, NAME)
    await turn(database, MILK, NAME)
    await database.run(lambda tables: tables.execute("UPDATE turns SET content = x'01' WHERE turn = 1"))
    assert await found(database, NAME) == Found((of(database, MILK),), 1)
