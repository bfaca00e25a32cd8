"""The signed roster, as agents are shown it: what cohorts are drawn from."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from contract.blobs import unpack
from contract.errors import NotPossibleNow, Reason
from contract.release import Index, consistent_path, target_path, versions_of
from contract.roster_bundle import ROLE, check_roster_bundle, check_roster_names, newest_roster
from contract.secagg.roster import Roster
from hub.release.blobs import Blobs
from hub.release.metadata import Current
from hub.store import releases
from hub.store.database import Database


@dataclass(frozen=True, slots=True)
class RosterFit:
    """How a roster fits the fleet.

    Args:
        version: of the roster; 0: there is none that can be used.
        agents: so many have said a member key.
        missing: so many of these are not in it with that key.
        reason: why there is none; empty: there is one.
    """

    version: int
    agents: int
    missing: int
    reason: str = ""


def fit(roster: Roster | None, said: Mapping[str, str], reason: str = "") -> RosterFit:
    """Holds a roster against the fleet.

    Args:
        roster: the newest; None: there is none that can be used.
        said: the hashes of member keys, by agent.
        reason: why there is none.
    """
    members: Mapping[str, str] = {} if roster is None else roster.members
    missing = sum(members.get(agent) != member_key_hash for agent, member_key_hash in said.items())
    return RosterFit(0 if roster is None else roster.version, len(said), missing, reason)


class Rosters:
    """Reads what was published.

    Args:
        database: with the metadata.
        blobs: with the content.
        name: of the roster.
    """

    def __init__(self, database: Database, blobs: Blobs, name: str) -> None:
        self._database = database
        self._blobs = blobs
        self._name = name

    async def newest(self) -> Roster:
        """Returns the newest.

        Raises:
            NotPossibleNow: ROSTER_UNKNOWN, none was published.
            InvalidRequest: ROSTER_INVALID or RELEASE_INVALID, it is none that can be used.
            Unavailable: the store or the blobs are away.
        """
        index = await self._database.read(lambda connection: _newest_index(connection, self._name))
        if index is None:
            raise self._unknown()
        check_roster_names({file.name: file.size_bytes for file in index.files})
        files = {}
        for file in index.files:
            pieces = [await self._blob(chunk.sha256) for chunk in file.chunks]
            files[file.name] = b"".join(pieces)
        return await asyncio.to_thread(check_roster_bundle, files, index.version)  # of 100,000 it takes a third of a second

    async def _blob(self, sha256: str) -> bytes:
        stored = await self._blobs.get(sha256)
        if stored is None:
            raise self._unknown()
        return bytes(unpack(stored, sha256))

    def _unknown(self) -> NotPossibleNow:
        return NotPossibleNow(
            Reason.ROSTER_UNKNOWN,
            f"No roster '{self._name}' is published, so nobody can be asked: seawall-hub learning roster proposes one to be signed.",
        )


def _newest_index(connection: Connection, name: str) -> Index | None:
    current = Current.read(connection)
    metadata = current.of(ROLE) if current.fits() else None
    if metadata is None:
        return None
    targets = metadata.signed.targets
    version = newest_roster(versions_of(targets, ROLE, name))
    if not version:
        return None
    path = target_path(ROLE, name, str(version))
    content = releases.get_target(connection, consistent_path(path, targets[path].hashes["sha256"]))
    return None if content is None else Index.from_json(content)
