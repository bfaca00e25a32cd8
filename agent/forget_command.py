"""`seawall-agent forget`."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import typer

from agent.config import AgentSettings
from agent.config_file import load_settings
from agent.options import Config
from agent.state import StateFolder
from agent.store.database import Database
from agent.store.erasure import forget as forget_subject
from agent.store.erasure import forget_found, held, whose
from agent.store.subjects import Subject
from agent.store.text_search import Found, folded, search
from contract.errors import InvalidRequest, NotPossibleNow, Reason

T = TypeVar("T")

EXAMPLE = (
    "Example: seawall-agent forget --client till, or one conversation: seawall-agent forget --client till --conversation tea, "
    "or a person: seawall-agent forget --subject 'Ada Lovelace' --dry-run"
)

_SHORTEST = 3
"""A shorter text stands in every conversation."""

_WORDS = {
    "answers": "answers in the cache",
    "classes": "classes that conversations have had",
    "given": "notes of which kept answer was given",
    "inbox": "prompts taken by MQTT",
    "outbox": "prompts that waited for the hub",
    "sketches": "sketches of prompts, for sums over the fleet",
    "turns": "turns of conversations",
    "vault": "maps of redacted values",
    "subject_keys": "keys destroyed",
}


@dataclass(frozen=True, slots=True)
class _Ask:
    """How it is to be done."""

    dry_run: bool
    yes: bool
    as_json: bool


def forget(
    client: Annotated[
        str | None, typer.Option(help="Who: the name in the MQTT topic; http/KEYNAME, or http/local, by HTTP. Example: --client till")
    ] = None,
    conversation: Annotated[str | None, typer.Option(help="Only this conversation of it. Example: --conversation tea")] = None,
    subject: Annotated[
        str | None,
        typer.Option(
            help="Every conversation in which this text stands, in any case: a name, an address; '-' reads it from standard input, "
            "and needs --yes. With --client: its alone. Example: --subject ada@example.org"
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --subject: do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was removed as JSON.")] = False,
    config: Config = None,
) -> None:
    """Erase what the agent keeps of a client, of one of its conversations, or of a person named in any: prompts, answers, turns, keys.

    Receipts stay; they hold no words. A prompt that is being answered gets no answer. A running agent goes on; what it has
    of the prompts in its memory goes at its next restart.
    """
    ask, settings = _Ask(dry_run, yes, as_json), load_settings(config)
    if subject is not None and conversation is None:
        _forget_text(settings, _text(subject), client, ask)
    elif client is not None and subject is None:
        _forget_client(settings, Subject(client, conversation), ask)
    else:
        raise typer.BadParameter("give --client, and perhaps one of its conversations; or --subject, and perhaps a client")


def _text(given: str) -> str:
    text = sys.stdin.read() if given == "-" else given
    if len(folded(text)) < _SHORTEST:
        raise InvalidRequest(
            Reason.FIELD_INVALID, f"The text is shorter than {_SHORTEST} characters: it would stand everywhere. Give more of it."
        )
    return text


def _forget_client(settings: AgentSettings, subject: Subject, ask: _Ask) -> None:
    async def work(database: Database) -> dict[str, int]:
        if ask.dry_run:
            return await database.run(lambda tables: held(tables, [whose(database.keys, subject)]))
        return await forget_subject(database, subject, _now())

    _print(_on_store(settings, work) or dict.fromkeys(_WORDS, 0), ask)


def _forget_text(settings: AgentSettings, text: str, client: str | None, ask: _Ask) -> None:
    async def look(database: Database) -> tuple[Found, dict[str, int]]:
        owner = None if client is None else database.keys.owner(client)
        found = await database.run(lambda tables: search(tables, database.keys, text, owner))
        return found, await database.run(lambda tables: held(tables, found.whose))

    found, counts = _on_store(settings, look) or (Found((), 0), dict.fromkeys(_WORDS, 0))
    _tell(found, ask)
    if found.whose and not ask.dry_run:
        if not ask.yes:
            typer.echo(_lines(counts), err=True)
            typer.confirm("Forget these conversations, all of them?", abort=True, err=True)
        counts = _on_store(settings, lambda database: forget_found(database, found.whose, _now())) or counts
    _print(counts, ask, {"conversations": len(found.whose), "unreadable": found.unreadable})


def _tell(found: Found, ask: _Ask) -> None:
    clients = len({one.owner for one in found.whose})
    if not ask.as_json:
        print(
            f"{len(found.whose):>7} conversations of {clients} clients hold it; what belongs to no conversation counts as one of its client"
        )
    if found.unreadable:
        typer.echo(f"{found.unreadable} rows cannot be opened, so that nobody knows what is in them", err=True)


def _print(counts: dict[str, int], ask: _Ask, more: dict[str, int] | None = None) -> None:
    if ask.as_json:
        print(json.dumps({**(more or {}), **counts}))
    else:
        print(_lines(counts) + ("\nNothing was removed: this was a dry run." if ask.dry_run else ""))


def _lines(counts: dict[str, int]) -> str:
    return "\n".join(f"{counts[table]:>7} {words}" for table, words in _WORDS.items())


def _on_store(settings: AgentSettings, work: Callable[[Database], Awaitable[T]]) -> T | None:
    """Does it with the store; None: there is none."""
    state = StateFolder(settings.state_folder)
    if not state.database.exists():
        return None

    async def run() -> T:
        database = Database(state.database, state.data_key(settings.data_key_file))
        try:
            if not database.key_fits:
                raise NotPossibleNow(
                    Reason.CONFIG_INVALID,
                    "The store is sealed under another key than the one that is here: put the key back, or start the agent, "
                    "which drops what it cannot open.",
                )
            return await work(database)
        finally:
            database.close()

    return asyncio.run(run())


def _now() -> float:
    return datetime.now(UTC).timestamp()
