"""Earlier turns of conversations. A conversation belongs to the client that began it: nobody else's id reaches it."""

from typing import Any, cast

from sqlite_utils import Database as Tables

from agent.prompts import Message, Prompt, Role
from agent.store.database import Database
from agent.store.sealing import Unreadable
from agent.store.subjects import Subject


class ConversationStore:
    """The table `turns`.

    Args:
        database: the store.
        age_seconds: how long a turn is kept.
    """

    def __init__(self, database: Database, age_seconds: float) -> None:
        self._database = database
        self._age_seconds = age_seconds

    async def earlier(self, prompt: Prompt, now: float) -> tuple[Message, ...]:
        """Returns the turns before a prompt, oldest first.

        Args:
            prompt: its client and conversation say whose turns; its own, from a try before a restart, are left out.
            now: POSIX time, seconds.
        """
        keys = self._database.keys
        subject, own = keys.subject(_subject(prompt)), keys.digest("prompt", prompt.client, prompt.prompt_id)

        def work(tables: Tables) -> tuple[Message, ...]:
            rows = tables.query(
                "SELECT turns.* FROM turns JOIN subject_keys USING (key) "
                "WHERE subject = ? AND prompt <> ? AND turns.create_time >= ? ORDER BY turn",
                [subject, own, now - self._age_seconds],
            )
            return tuple(message for row in list(rows) if (message := self._opened(tables, row)) is not None)

        return await self._database.run(work)

    async def append(self, prompt: Prompt, answer: Message, now: float) -> None:
        """Adds a prompt's turns and its answer, in place of those of an earlier try; forgets what is too old.

        Nothing is added where the conversation was forgotten after the prompt came.
        """
        keys, subject = self._database.keys, _subject(prompt)
        own = keys.digest("prompt", prompt.client, prompt.prompt_id)

        def work(tables: Tables) -> None:
            tables.execute("DELETE FROM turns WHERE create_time < ?", [now - self._age_seconds])
            if keys.erased_since(tables, subject, prompt.received_time.timestamp()):
                return
            of_subject = "SELECT key FROM subject_keys WHERE subject = ?"
            tables.execute(f"DELETE FROM turns WHERE prompt = ? AND key IN ({of_subject})", [own, keys.subject(subject)])  # noqa: S608
            key = keys.current(tables, subject, now)
            for position, message in enumerate((*prompt.messages, answer)):
                content = key.sealer.seal(message.content.encode(), *_place(own, position, message.role))
                row = {"key": key.number, "prompt": own, "position": position, "role": message.role, "content": content}
                tables.table("turns").insert({**row, "create_time": now})

        await self._database.run(work)

    async def replace_answer(self, prompt: Prompt, answer: Message) -> bool:
        """Puts a better answer in the place of a prompt's, unless a later turn was made, or it was forgotten. Returns whether it did."""
        keys = self._database.keys
        subject, own = keys.subject(_subject(prompt)), keys.digest("prompt", prompt.client, prompt.prompt_id)

        def work(tables: Tables) -> bool:
            query = "SELECT turns.* FROM turns JOIN subject_keys USING (key) WHERE subject = ? ORDER BY turn DESC LIMIT 1"
            row = next(iter(tables.query(query, [subject])), None)
            if row is None or row["prompt"] != own:
                return False
            try:
                key = keys.held(tables, row["key"])
            except Unreadable:
                return False
            content = key.sealer.seal(answer.content.encode(), *_place(own, row["position"], row["role"]))
            tables.table("turns").update(row["turn"], {"content": content})
            return True

        return await self._database.run(work)

    def _opened(self, tables: Tables, row: dict[str, Any]) -> Message | None:
        """Returns a turn; None: it can no longer be opened, and the conversation goes on without it."""
        try:
            key = self._database.keys.held(tables, row["key"])
            content = key.sealer.open(row["content"], *_place(row["prompt"], row["position"], row["role"]))
        except Unreadable:
            return None
        return Message(cast(Role, row["role"]), content.decode())


def _subject(prompt: Prompt) -> Subject:
    return Subject(prompt.client, prompt.conversation)


def _place(prompt: str, position: int, role: str) -> tuple[str, ...]:
    return ("turns", "content", prompt, str(position), role)
