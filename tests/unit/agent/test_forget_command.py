"""`seawall-agent forget` on a real store, beside one that has it open."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from agent.__main__ import app
from agent.prompts import Message, Prompt
from agent.store.conversations import ConversationStore
from agent.store.database import Database
from contract.errors import NotPossibleNow

Forget = Callable[..., Result]
NOW = 1_000_000.0


@pytest.fixture
def command(tmp_path: Path) -> Forget:
    config = tmp_path / "agent.toml"
    config.write_text(f'state_folder = "{tmp_path}/state"\n')
    return lambda *arguments: CliRunner().invoke(app, ["forget", "-c", str(config), *arguments])


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    (tmp_path / "state").mkdir()
    opened = Database(tmp_path / "state" / "agent.db")
    yield opened
    opened.close()


def remember(database: Database) -> None:
    async def work() -> None:
        store = ConversationStore(database, 1e12)
        for conversation in ("tea", "milk"):
            asked = Prompt("p1", "till", (Message("user", "asked"),), datetime.fromtimestamp(NOW, UTC), conversation)
            await store.append(asked, Message("assistant", "answered"), NOW)

    asyncio.run(work())


def test_it_forgets_what_it_is_told_and_says_how_much(command: Forget, database: Database) -> None:
    remember(database)
    done = command("--client", "till", "--conversation", "tea")
    assert done.exit_code == 0
    assert "2 turns of conversations" in done.stdout
    rest = json.loads(command("--client", "till", "--json").stdout)
    assert (rest["turns"], rest["subject_keys"], rest["answers"]) == (2, 1, 0)
    assert json.loads(command("--client", "till", "--json").stdout)["turns"] == 0


def test_where_nothing_was_ever_kept_nothing_is_made(command: Forget, tmp_path: Path) -> None:
    done = command("--client", "till")
    assert done.exit_code == 0
    assert "0 turns of conversations" in done.stdout
    assert list((tmp_path / "state").iterdir()) == []


def test_with_another_key_it_refuses_since_it_would_find_nothing(command: Forget, database: Database, tmp_path: Path) -> None:
    remember(database)
    (tmp_path / "state" / "data.key").write_bytes(b"o" * 32)
    done = command("--client", "till")
    assert isinstance(done.exception, NotPossibleNow)
    assert "put the key back" in done.exception.message
