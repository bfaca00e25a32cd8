"""The signed roster: the newest that TUF vouches for, and the one that was taken last where the source cannot be asked."""

import asyncio
from pathlib import Path

from agent.identity.files import write_private
from agent.learning.ledger import LedgerStore
from agent.update.chunk_folder import ChunkFolder
from agent.update.fetcher import Fetcher
from agent.update.slot_record import make_synced_folder
from agent.update.sources import Source
from agent.update.trust import Trust
from agent.update.version_order import newest
from contract.errors import InvalidRequest, NotFound, NotPossibleNow, Reason
from contract.roster_bundle import ROLE, ROSTER_FILE, check_roster_bundle, check_roster_names
from contract.secagg.roster import Roster


class KeptRoster:
    """The place of the roster on the disk.

    Args:
        folder: made when one is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Roster | None:
        """Returns what is kept; None: nothing that can be read. It is taken anew then."""
        try:
            return Roster.from_json((self._folder / ROSTER_FILE).read_bytes())
        except (OSError, InvalidRequest):
            return None

    def keep(self, roster: Roster) -> None:
        """Puts a verified roster in the place of the one that is kept.

        Raises:
            NotPossibleNow: DISK_FULL.
        """
        try:
            make_synced_folder(self._folder)
            write_private(self._folder / ROSTER_FILE, roster.to_json())
        except OSError as error:
            message = f"The roster cannot be kept in {self._folder} ({error.strerror}): make room, or let it be written to."
            raise NotPossibleNow(Reason.DISK_FULL, message) from error


class RosterTaker:
    """Brings newer rosters here.

    Args:
        trust: decides what is believed.
        fetcher: brings chunks into the folder.
        chunks: the folder.
        kept: the place of the roster.
        ledger: remembers the greatest version that was seen.
        name: of the roster that this agent follows.
    """

    def __init__(self, trust: Trust, fetcher: Fetcher, chunks: ChunkFolder, kept: KeptRoster, ledger: LedgerStore, name: str) -> None:
        self._trust = trust
        self._fetcher = fetcher
        self._chunks = chunks
        self._kept = kept
        self._ledger = ledger
        self._name = name

    async def take(self, source: Source) -> Roster:
        """Returns the newest roster, once it is noted for good that it was seen.

        Raises:
            InvalidRequest: ROSTER_INVALID, RELEASE_INVALID: it is refused.
            NotFound: RELEASE_NOT_FOUND, nobody has signed such a roster.
            NotPermitted: ROSTER_OLD, a later one was seen.
            NotPossibleNow: RELEASE_EXPIRED, DISK_FULL.
            Unavailable: the source does not deliver.
        """
        version = newest(await self._trust.versions(source, ROLE, self._name))
        if version is None:
            raise NotFound(Reason.RELEASE_NOT_FOUND, f"Nobody has signed a roster '{self._name}': publish one, or name another.")
        kept = await asyncio.to_thread(self._kept.read)
        roster = kept if kept is not None and str(kept.version) == version else await self._fetched(source, version)
        await asyncio.to_thread(self._ledger.see_roster, roster.version)
        return roster

    async def _fetched(self, source: Source, version: str) -> Roster:
        index = await self._trust.index(source, ROLE, self._name, version)
        check_roster_names({file.name: file.size_bytes for file in index.files})
        await self._fetcher.fetch(index, source)
        try:
            files = {file.name: await asyncio.to_thread(self._chunks.read, file) for file in index.files}
            roster = check_roster_bundle(files, version)
            await asyncio.to_thread(self._kept.keep, roster)
        finally:
            await asyncio.to_thread(self._chunks.clear)
        return roster
