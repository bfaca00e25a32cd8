"""`seawall-agent forget`."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from agent.config import load_settings
from agent.options import Config
from agent.state import StateFolder
from agent.store.database import Database
from agent.store.erasure import forget as forget_subject
from agent.store.subjects import Subject
from contract.errors import NotPossibleNow, Reason

EXAMPLE = "Example: seawall-agent forget --client till, or one conversation: seawall-agent forget --client till --conversation tea"

_WORDS = {
    "answers": "answers in the cache",
    "classes": "classes that conversations have had",
    "inbox": "prompts taken by MQTT",
    "outbox": "prompts that waited for the hub",
    "turns": "turns of conversations",
    "vault": "maps of redacted values",
    "subject_keys": "keys destroyed",
}


def forget(
    client: Annotated[
        str, typer.Option(help="Who: the name in the MQTT topic; http/KEYNAME, or http/local, by HTTP. Example: --client till")
    ],
    conversation: Annotated[str | None, typer.Option(help="Only this conversation of it. Example: --conversation tea")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was removed as JSON.")] = False,
    config: Config = None,
) -> None:
    """Erase what the agent keeps of a client, or of one of its conversations: prompts, answers, turns and their keys.

    Receipts stay; they hold no words. A prompt that is being answered gets no answer. A running agent goes on; what it has
    of the prompts in its memory goes at its next restart.
    """
    settings = load_settings(config)
    state = StateFolder(settings.state_folder)
    if not state.database.exists():
        removed = dict.fromkeys(_WORDS, 0)
    else:
        removed = asyncio.run(_forget(Database(state.database, state.data_key(settings.data_key_file)), Subject(client, conversation)))
    print(json.dumps(removed) if as_json else "\n".join(f"{removed[table]:>7} {words}" for table, words in _WORDS.items()))


async def _forget(database: Database, subject: Subject) -> dict[str, int]:
    try:
        if not database.key_fits:
            raise NotPossibleNow(
                Reason.CONFIG_INVALID,
                "The store is sealed under another key than the one that is here: put the key back, or start the agent, "
                "which drops what it cannot open.",
            )
        return await forget_subject(database, subject, datetime.now(UTC).timestamp())
    finally:
        database.close()
