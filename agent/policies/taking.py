"""Takes a signed policy: TUF verifies its index, the index its files, Cedar what is in them; only then it replaces the one that is kept."""

import asyncio
from dataclasses import dataclass

from agent.policies.kept import Kept, KeptPolicy
from agent.update.chunk_folder import ChunkFolder
from agent.update.fetcher import Fetcher
from agent.update.sources import Source
from agent.update.trust import Trust
from agent.update.version_order import newest, version_key
from contract.errors import InvalidRequest, NotFound, Reason
from contract.policy_bundle import ROLE, check_names
from contract.release import Index


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a look for a policy.

    Args:
        name: of the one that is kept now: `policies/{policy}/versions/{version}`.
        previous: of the one before; empty: there was none.
        changed: whether it is another one.
    """

    name: str
    previous: str
    changed: bool


class PolicyTaker:
    """Brings newer versions of one policy here.

    Args:
        trust: decides what is believed.
        fetcher: brings chunks into the folder.
        chunks: the folder.
        kept: the place of the policy.
        policy: the name of the one that this agent follows.
    """

    def __init__(self, trust: Trust, fetcher: Fetcher, chunks: ChunkFolder, kept: KeptPolicy, policy: str) -> None:
        self._trust = trust
        self._fetcher = fetcher
        self._chunks = chunks
        self._kept = kept
        self._policy = policy

    async def take(self, source: Source) -> Taken:
        """Takes the newest version, if that is newer than the one that is kept; an older one never.

        Raises:
            InvalidRequest: POLICY_INVALID, RELEASE_INVALID: it is refused, and the one that is kept stays.
            NotFound: RELEASE_NOT_FOUND, nobody has signed such a policy.
            NotPossibleNow: RELEASE_EXPIRED, DISK_FULL.
            Busy: UPDATE_NOT_POSSIBLE, another process takes one.
            Unavailable: the source does not deliver.
        """
        with self._kept.held():
            before = await asyncio.to_thread(self._before)
            version = newest(await self._trust.versions(source, ROLE, self._policy))
            if version is None:
                raise NotFound(Reason.RELEASE_NOT_FOUND, f"Nobody has signed a policy '{self._policy}': publish one, or name another.")
            if before is not None and version_key(version) <= version_key(before.index.version):
                return Taken(before.name, before.name, changed=False)
            index = await self._trust.index(source, ROLE, self._policy, version)
            check_names({file.name: file.size_bytes for file in index.files})
            kept = await self._fetched(index, source)
        return Taken(kept.name, before.name if before is not None else "", changed=True)

    def _before(self) -> Kept | None:
        """What is damaged, or of another name, is replaced by whatever is signed."""
        try:
            kept = self._kept.read()
        except InvalidRequest:
            return None
        return kept if kept is not None and kept.index.model == self._policy else None

    async def _fetched(self, index: Index, source: Source) -> Kept:
        await self._fetcher.fetch(index, source)
        try:
            files = {file.name: await asyncio.to_thread(self._chunks.read, file) for file in index.files}
            return await asyncio.to_thread(self._kept.keep, index, files)
        finally:
            await asyncio.to_thread(self._chunks.clear)
