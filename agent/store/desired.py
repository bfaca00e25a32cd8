"""The desired state that is applied: one row, and beside the store a file that says that there was one."""

import asyncio
import sqlite3

from sqlite_utils import Database as Tables

from agent.identity.files import write_private
from agent.store.database import Database, unusable

LOST = -1
"""In place of a generation: there was one, and the store no longer has it. `seawall.hub.v1.Hello` says it too."""

_MARKER = "desired-state"
_MARKER_TEXT = b"A hub has wanted something of this agent. Should the store lose it, nothing leaves until the hub has said it again.\n"


class DesiredStore:
    """The table `desired_state`. A store that was emptied does not pass for that of a new agent.

    Args:
        database: the store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._marker = database.path.with_name(_MARKER)

    async def get(self) -> tuple[int, bytes]:
        """Returns the generation that is applied and its configuration, serialized.

        0 and nothing: none ever was. LOST and nothing: one was, and is gone.
        """

        def work(tables: Tables) -> tuple[int, bytes] | None:
            row = next(iter(tables.query("SELECT generation, configuration FROM desired_state")), None)
            return None if row is None else (int(row["generation"]), bytes(row["configuration"]))

        found = await self._database.run(work)
        if found is None:
            return (LOST if self._marker.exists() else 0), b""
        return found

    async def mark(self) -> None:
        """Notes beside the store, synced, that there is a desired state.

        Raises:
            Unavailable: STORE_UNAVAILABLE, the disk is full or broken.
        """
        try:
            if not self._marker.exists():
                await asyncio.to_thread(write_private, self._marker, _MARKER_TEXT)
        except OSError as error:
            raise unusable(error) from error

    async def put(self, generation: int, configuration: bytes) -> None:
        """Puts another one in its place.

        Raises:
            Unavailable: STORE_UNAVAILABLE, the disk is full or broken.
        """
        await self.mark()
        row = {"id": 1, "generation": generation, "configuration": configuration}
        try:
            await self._database.run(lambda tables: tables.table("desired_state").upsert(row, pk="id"))
        except sqlite3.DatabaseError as error:
            raise unusable(error) from error
