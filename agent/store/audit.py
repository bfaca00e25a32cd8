"""The receipts of what was done, free of content."""

import json
from typing import Any

from sqlite_utils import Database as Tables

from agent.store.database import Database
from contract.receipts import Receipt


class ReceiptStore:
    """The table `receipts`.

    Args:
        database: the store.
        age_seconds: how long a receipt is kept.
    """

    def __init__(self, database: Database, age_seconds: float) -> None:
        self._database = database
        self._age_seconds = age_seconds

    async def append(self, client: str, receipt: Receipt, now: float) -> None:
        """Adds a receipt, and forgets those that are too old.

        Args:
            client: who asked.
            receipt: what was done.
            now: POSIX time, seconds.
        """

        def work(tables: Tables) -> None:
            row = {"receipt_id": receipt.receipt_id, "client": client, "receipt": json.dumps(receipt.to_dict()), "create_time": now}
            tables.table("receipts").insert(row)
            tables.execute("DELETE FROM receipts WHERE create_time < ?", [now - self._age_seconds])

        await self._database.run(work)

    async def since(self, begin: float) -> list[dict[str, Any]]:
        """Returns the receipts from a time on, oldest first.

        Args:
            begin: POSIX time, seconds.
        """

        def work(tables: Tables) -> list[dict[str, Any]]:
            rows = tables.query("SELECT receipt FROM receipts WHERE create_time >= ? ORDER BY sequence", [begin])
            return [json.loads(row["receipt"]) for row in rows]

        return await self._database.run(work)

    async def latest(self, count: int) -> list[dict[str, Any]]:
        """Returns the newest receipts, newest first."""

        def work(tables: Tables) -> list[dict[str, Any]]:
            rows = tables.query("SELECT client, receipt FROM receipts ORDER BY sequence DESC LIMIT ?", [count])
            return [{"client": row["client"], **json.loads(row["receipt"])} for row in rows]

        return await self._database.run(work)
