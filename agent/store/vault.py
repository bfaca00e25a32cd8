"""What stands for the values that were taken out of a conversation before it left the site."""

from sqlite_utils import Database as Tables

from agent.store.database import Database
from agent.store.sealing import Unreadable
from agent.store.subjects import Subject


class Vault:
    """The table `vault`: one sealed value a conversation.

    Args:
        database: the store.
        age_seconds: how long a value is kept after it was put last; `agent.store.retention` deletes it within the hour after that.
    """

    def __init__(self, database: Database, age_seconds: float) -> None:
        self._database = database
        self._age_seconds = age_seconds

    async def get(self, client: str, conversation: str | None) -> bytes | None:
        """Returns what was put last, or None: nothing was, it is too old, or it can no longer be opened.

        Args:
            client: who asks.
            conversation: the client's id of it; None: of the client's prompts that belong to none.
        """
        keys, subject = self._database.keys, Subject(client, conversation)

        def work(tables: Tables) -> bytes | None:
            name = keys.subject(subject)
            for row in list(tables.query("SELECT key, content FROM vault WHERE subject = ?", [name])):
                try:
                    return keys.held(tables, row["key"]).sealer.open(row["content"], "vault", "content", name)
                except Unreadable:
                    return None
            return None

        return await self._database.run(work)

    async def put(self, client: str, conversation: str | None, content: bytes, now: float, asked_time: float | None = None) -> None:
        """Keeps a value in place of the one before, unless who asked was forgotten meanwhile; deletes those that are too old.

        Args:
            client: who asks.
            conversation: as in `get`.
            content: what to keep.
            now: POSIX time, seconds.
            asked_time: when the prompt came that it was made for; None: now.
        """
        keys, subject = self._database.keys, Subject(client, conversation)

        def work(tables: Tables) -> None:
            if keys.erased_since(tables, subject, now if asked_time is None else asked_time):
                return
            name, key = keys.subject(subject), keys.current(tables, subject, now)
            sealed = key.sealer.seal(content, "vault", "content", name)
            row = {"subject": name, "key": key.number, "content": sealed, "create_time": now}
            tables.table("vault").upsert(row, pk="subject")
            tables.execute("DELETE FROM vault WHERE create_time < ?", [now - self._age_seconds])

        await self._database.run(work)

    async def forget(self, client: str, conversation: str | None) -> None:
        """Deletes the value of a conversation, if there is one."""
        name = self._database.keys.subject(Subject(client, conversation))
        await self._database.run(lambda tables: tables.execute("DELETE FROM vault WHERE subject = ?", [name]))
