"""The desired state that is applied: one row."""

import sqlite3

from sqlite_utils import Database as Tables

from agent.store.database import Database
from contract.errors import Reason, Unavailable


class DesiredStore:
    """The table `desired_state`.

    Args:
        database: the store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self) -> tuple[int, bytes]:
        """Returns the generation that is applied and its configuration, serialized; 0 and nothing: none ever was."""

        def work(tables: Tables) -> tuple[int, bytes]:
            row = next(iter(tables.query("SELECT generation, configuration FROM desired_state")), None)
            return (0, b"") if row is None else (int(row["generation"]), bytes(row["configuration"]))

        return await self._database.run(work)

    async def put(self, generation: int, configuration: bytes) -> None:
        """Puts another one in its place.

        Raises:
            Unavailable: STORE_UNAVAILABLE, the disk is full or broken.
        """
        row = {"id": 1, "generation": generation, "configuration": configuration}
        try:
            await self._database.run(lambda tables: tables.table("desired_state").upsert(row, pk="id"))
        except sqlite3.DatabaseError as error:
            raise Unavailable(
                Reason.STORE_UNAVAILABLE, f"The agent's store cannot be used ({error}): see whether its disk is full, and try again."
            ) from error
