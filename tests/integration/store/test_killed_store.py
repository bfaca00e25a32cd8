"""An erasure that is cut off at any statement has happened wholly at the next start, or not at all."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.prompts import Message, Prompt
from agent.store.conversations import ConversationStore
from agent.store.database import Database
from agent.store.subjects import Subject
from agent.store.vault import Vault
from tests.integration.store.killed_store import forget_and_die

NOW = 1_000_000.0
TIME = datetime.fromtimestamp(NOW, UTC)
FORGOTTEN, OTHER = Subject("till"), Subject("door", "tea")


async def plant(database: Database, client: str) -> None:
    turns, vault = ConversationStore(database, 1e9), Vault(database, 1e9)
    for conversation in ("tea", "milk"):
        prompt = Prompt("p1", client, (Message("user", "asked"),), TIME, conversation)
        await turns.append(prompt, Message("assistant", "answered"), NOW)
        await vault.put(client, conversation, b"map", NOW)


async def held(database: Database, client: str) -> list[bool]:
    """Whether each thing that was planted can be read."""
    turns, vault = ConversationStore(database, 1e9), Vault(database, 1e9)
    found = []
    for conversation in ("tea", "milk"):
        found.append(bool(await turns.earlier(Prompt("new", client, (), TIME, conversation), NOW)))
        found.append(await vault.get(client, conversation) is not None)
    return found


async def sealed(database: Database) -> list[bytes]:
    """The wrapped keys and the sealed values of the subject that is forgotten."""
    own = "SELECT key FROM subject_keys WHERE owner = ?"
    columns = ("wrapped FROM subject_keys", "content FROM turns", "content FROM vault")
    query = " UNION ALL ".join(f"SELECT {column} WHERE key IN ({own})" for column in columns)
    owner = database.keys.owner(FORGOTTEN.client)
    return await database.run(lambda tables: [value for (value,) in tables.execute(query, [owner] * len(columns)).fetchall()])


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.system)])
async def test_an_erasure_that_dies_at_any_statement_is_whole_or_has_not_been(tmp_path: Path, stride: int) -> None:
    file = tmp_path / "agent.db"
    outcomes = []
    died, statements = True, 1
    while died:
        database = Database(file)
        await plant(database, FORGOTTEN.client)
        await plant(database, OTHER.client)
        secrets = await sealed(database)
        assert len(secrets) >= 8
        database.close()
        died = forget_and_die(file, FORGOTTEN, NOW - 1, statements)
        database = Database(file)
        found = await held(database, FORGOTTEN.client)
        assert await held(database, OTHER.client) == [True] * 4
        raw = raw_bytes(tmp_path)
        database.close()
        assert found in ([True] * 4, [False] * 4)
        assert [secret in raw for secret in secrets] == [found[0]] * len(secrets)
        outcomes.append(found[0])
        statements += stride
    assert outcomes == sorted(outcomes, reverse=True)
    assert set(outcomes) == {True, False}
    print(f"{len(outcomes) - 1} deaths: {outcomes.count(True)} before, {outcomes.count(False) - 1} after")


def raw_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("agent.db*"))
