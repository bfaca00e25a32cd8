"""Earlier turns of conversations. A conversation belongs to the client that began it: nobody else's id reaches it."""

from typing import cast

from sqlite_utils import Database as Tables

from agent.prompts import Message, Prompt, Role
from agent.store.database import Database


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

        def work(tables: Tables) -> tuple[Message, ...]:
            rows = tables.query(
                "SELECT role, content FROM turns "
                "WHERE client = ? AND conversation = ? AND prompt_id <> ? AND create_time >= ? ORDER BY turn",
                [prompt.client, prompt.conversation, prompt.prompt_id, now - self._age_seconds],
            )
            return tuple(Message(cast(Role, row["role"]), row["content"]) for row in rows)

        return await self._database.run(work)

    async def append(self, prompt: Prompt, answer: Message, now: float) -> None:
        """Adds a prompt's turns and its answer, in place of those of an earlier try; forgets what is too old."""
        key = {"client": prompt.client, "conversation": prompt.conversation, "prompt_id": prompt.prompt_id}

        def work(tables: Tables) -> None:
            tables.execute("DELETE FROM turns WHERE client = :client AND conversation = :conversation AND prompt_id = :prompt_id", key)
            tables.table("turns").insert_all(
                {**key, "role": message.role, "content": message.content, "create_time": now} for message in (*prompt.messages, answer)
            )
            tables.execute("DELETE FROM turns WHERE create_time < ?", [now - self._age_seconds])

        await self._database.run(work)
