"""The commands that a real agent knows, and what it shows of its place in a fleet."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from agent.commands import Commands
from agent.config import AgentSettings
from agent.fleet import build_commands
from agent.intake.settings import MqttSettings
from agent.learning.taking_part import TakingPart
from agent.logs import Logs
from agent.store.answers import AnswerStore
from agent.store.audit import ReceiptStore
from agent.store.commands import CommandEntry, CommandStore, State
from agent.store.database import Database
from agent.store.heads import HeadStore
from agent.store.subjects import Subject
from contract import challenge
from contract.tree_heads import sign_head, witness_head
from seawall.hub.v1.command_pb2 import Command
from tests.fakes.answerer import receipt
from tests.fakes.tls import free_port

NOW = datetime.now(UTC)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(tmp_path / "agent.db")
    yield opened
    opened.close()


@pytest.fixture
def logs() -> Iterator[Logs]:
    before = structlog.get_config()
    yield Logs("info")
    structlog.configure(**before)


async def unheard(message: bytes) -> bytes:
    raise AssertionError(message)


@pytest.fixture
def commands(tmp_path: Path, database: Database, logs: Logs) -> Commands:
    settings = AgentSettings(state_folder=tmp_path, mqtt=MqttSettings(port=free_port()))
    return build_commands(settings, "a1", database, logs, TakingPart(lambda: False, lambda: "", lambda: unheard), lambda: NOW, restart=None)


async def done(commands: Commands, database: Database, action: Command.Action.ValueType, log_lines: int = 0) -> CommandEntry:
    command = Command(name="agents/a1/commands/c1", action=action, log_lines=log_lines)
    command.expire_time.FromDatetime(NOW + timedelta(hours=1))
    await commands.take(command, NOW)
    running = asyncio.create_task(commands.run())
    left = await CommandStore(database).begun()
    while left:
        left = await CommandStore(database).begun()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    (entry,) = await commands.outcomes()
    return entry


async def test_the_doctor_tells_what_is_wrong_here(commands: Commands, database: Database) -> None:
    entry = await done(commands, database, Command.RUN_DOCTOR)
    assert entry.state is State.SUCCEEDED
    assert "WRONG model: " in entry.output
    assert "WRONG broker: " in entry.output


@pytest.mark.parametrize(("asked", "lines"), [(0, 200), (3, 3), (-5, 200)])
async def test_as_many_log_lines_as_are_asked_for_are_fetched(
    commands: Commands, database: Database, logs: Logs, asked: int, lines: int
) -> None:
    for number in range(300):
        logs.keep(None, "info", {"event": "line", "number": number})
    entry = await done(commands, database, Command.FETCH_LOGS, asked)
    assert len(entry.output.splitlines()) == lines
    assert '"number": 299' in entry.output


async def test_answers_are_forgotten(commands: Commands, database: Database) -> None:
    answers = AnswerStore(database, 10, 3600)
    await answers.put("digest", "answer", Subject("c"), NOW.timestamp(), NOW.timestamp())
    entry = await done(commands, database, Command.FORGET_ANSWERS)
    assert entry.output == "1 answers forgotten"
    assert await answers.get("digest", NOW.timestamp()) is None


async def test_receipts_are_proven_to_be_in_the_log_that_was_witnessed(commands: Commands, database: Database) -> None:
    heads, key = HeadStore(database, 3600), ec.generate_private_key(ec.SECP256R1())
    for number in range(5):
        await ReceiptStore(database, 3600).append("till", receipt(f"p{number}"), NOW.timestamp())
    kept = await heads.sign("agents/a1", partial(sign_head, key), NOW, lambda _: True)
    assert kept is not None
    await heads.witnessed(kept.signed, witness_head(key, kept.signed, NOW))
    entry = await done(commands, database, Command.PROVE_RECEIPTS, 7)
    assert entry.state is State.SUCCEEDED
    assert list(challenge.faults(entry.output, entry.name, 7, kept.signed.head)) == []


async def test_what_was_not_witnessed_is_not_proven(commands: Commands, database: Database) -> None:
    entry = await done(commands, database, Command.PROVE_RECEIPTS)
    assert (entry.state, "No head of the log of receipts was witnessed yet" in entry.error) == (State.FAILED, True)


async def test_a_restart_fails_where_nobody_would_start_the_agent_again(commands: Commands, database: Database) -> None:
    entry = await done(commands, database, Command.RESTART)
    assert entry.state is State.FAILED
    assert "systemd" in entry.error


async def test_a_command_that_fails_by_a_mistake_ends_nothing_but_itself(commands: Commands, database: Database) -> None:
    await database.run(lambda tables: tables.execute("DROP TABLE answers"))
    entry = await done(commands, database, Command.FORGET_ANSWERS)
    assert entry.state is State.FAILED
    assert "OperationalError" in entry.error


async def set_disk(database: Database, *, takes_writes: bool) -> None:
    await database.run(lambda tables: tables.execute(f"PRAGMA query_only = {'OFF' if takes_writes else 'ON'}"))


async def test_a_disk_that_takes_nothing_lets_the_agent_start_and_what_was_begun_is_ended_when_it_takes_it_again(
    database: Database,
) -> None:
    entry = CommandEntry("agents/a1/commands/c1", int(Command.FORGET_ANSWERS), 0, NOW.timestamp() + 3600)
    store = CommandStore(database)
    await store.begin(entry)
    commands = Commands(store, "agents/a1", {}, restart=None, recovery_seconds=0.01)
    await set_disk(database, takes_writes=False)
    await commands.recover()
    running = asyncio.create_task(commands.run())
    assert [left.state for left in await commands.outcomes()] == [State.BEGUN]
    changed = commands.changed
    await set_disk(database, takes_writes=True)
    await asyncio.wait_for(changed.wait(), 10)
    assert [left.state for left in await commands.outcomes()] == [State.FAILED]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_name_is_forgotten_only_when_the_hub_sends_it_no_more(commands: Commands, database: Database) -> None:
    entry = await done(commands, database, Command.FORGET_ANSWERS)
    await commands.received(entry.name, entry.state, NOW)
    store = CommandStore(database)
    assert await store.begin(entry) is not None
    await store.forget((NOW + timedelta(hours=2)).timestamp())
    assert await store.begin(entry) is None
