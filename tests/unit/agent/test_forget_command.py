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
from contract.errors import InvalidRequest, NotPossibleNow

Forget = Callable[..., Result]
NOW = 1_000_000.0


@pytest.fixture
def command(tmp_path: Path) -> Forget:
    config = tmp_path / "agent.toml"
    config.write_text(f'state_folder = "{tmp_path}/state"\n')
    return lambda *arguments, typed=None: CliRunner().invoke(app, ["forget", "-c", str(config), *arguments], input=typed)


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


def test_it_takes_a_client_or_a_text_and_says_so(command: Forget) -> None:
    for arguments in ([], ["--conversation", "tea"], ["--subject", "Ada Lovelace", "--client", "c", "--conversation", "tea"]):
        done = command(*arguments)
        assert (done.exit_code, "--subject" in done.output) == (2, True)


def test_a_dry_run_says_how_much_it_would_be_and_removes_nothing(command: Forget, database: Database) -> None:
    remember(database)
    for arguments in (["--client", "till"], ["--subject", "asked"]):
        done = command(*arguments, "--dry-run")
        assert (done.exit_code, "4 turns of conversations" in done.stdout, "Nothing was removed" in done.stdout) == (0, True, True)
    assert json.loads(command("--client", "till", "--json").stdout)["turns"] == 4


def tell(database: Database) -> None:
    """Two conversations in which Ada is named, in other letters, and one in which she is not."""

    async def work() -> None:
        store = ConversationStore(database, 1e12)
        for client, conversation, text in (
            ("till", "tea", "ADA  Lovelace\ncame"),
            ("door", None, "is it Ada lovelace's?"),
            ("till", "milk", "Adam"),
        ):
            asked = Prompt("p1", client, (Message("user", text),), datetime.fromtimestamp(NOW, UTC), conversation)
            await store.append(asked, Message("assistant", "answered"), NOW)

    asyncio.run(work())


def test_every_conversation_in_which_a_person_stands_is_forgotten_and_no_other(command: Forget, database: Database) -> None:
    tell(database)
    done = command("--subject", "Ada Lovelace", "--yes", "--json")
    counts = json.loads(done.stdout)
    assert (done.exit_code, counts["conversations"], counts["turns"], counts["subject_keys"], counts["unreadable"]) == (0, 2, 4, 2, 0)
    left = json.loads(command("--subject", "Adam", "--dry-run", "--json").stdout)
    assert (left["conversations"], left["turns"]) == (1, 2)
    assert json.loads(command("--subject", "ada lovelace", "--dry-run", "--json").stdout)["conversations"] == 0


def test_it_asks_first_and_a_no_removes_nothing(command: Forget, database: Database) -> None:
    tell(database)
    no = command("--subject", "Ada Lovelace", typed="n\n")
    assert (no.exit_code, "Forget these conversations" in no.output, "2 conversations of 2 clients" in no.output) == (1, True, True)
    assert command("--subject", "Ada Lovelace", typed="y\n").exit_code == 0
    assert json.loads(command("--subject", "Ada Lovelace", "--dry-run", "--json").stdout)["conversations"] == 0


def test_the_text_can_come_from_standard_input_and_be_looked_for_with_one_client(command: Forget, database: Database) -> None:
    tell(database)
    done = command("--subject", "-", "--client", "till", "--yes", "--json", typed="ada lovelace\n")
    assert json.loads(done.stdout)["conversations"] == 1
    assert json.loads(command("--subject", "Ada Lovelace", "--dry-run", "--json").stdout)["conversations"] == 1


def test_a_text_that_would_stand_everywhere_is_refused(command: Forget) -> None:
    refused = command("--subject", " a ", "--yes")
    assert isinstance(refused.exception, InvalidRequest)
    assert "shorter than 3" in refused.exception.message


def test_rows_that_cannot_be_opened_are_told(command: Forget, database: Database) -> None:
    tell(database)
    asyncio.run(database.run(lambda tables: tables.execute("UPDATE turns SET content = x'01' WHERE role = 'assistant'")))
    done = command("--subject", "nobody at all", "--dry-run")
    assert (done.exit_code, "3 rows cannot be opened" in done.stderr) == (0, True)
