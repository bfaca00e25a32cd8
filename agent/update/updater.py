"""An update from its beginning to its end: what is offered, what is missing, a slot that is whole, and the switch to it.

Every step can be cut off. What was verified is kept, and the next update goes on from there.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.inference.loading import load_bundle
from agent.update.blocking import finished
from agent.update.chunk_folder import ChunkFolder, HeldFiles, Holder
from agent.update.fetcher import Fetcher
from agent.update.progress import Progress
from agent.update.slots import Slots, SlotState, Started
from agent.update.sources import Source
from agent.update.trust import Trust
from agent.update.version_order import newest, version_key
from contract.bundle import BUNDLE_FILE
from contract.errors import InvalidRequest, NotFound, NotPossibleNow, Reason, Unavailable
from contract.release import Chunk, Index

_ROLE = "models"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to serve.

    Args:
        model: its name; empty: the one that serves.
        version: of it, also an older one; empty: the newest, if that is newer than what serves.
    """

    model: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an update has done.

    Args:
        model: the name.
        version: that serves from the next start of the agent on.
        previous_version: that served before; empty: it was in no slot.
        changed: whether the slots were switched.
        slot: that holds it; empty: the configuration's bundle is the same.
        received_bytes: that came from the source.
    """

    model: str
    version: str
    previous_version: str
    changed: bool
    slot: str
    received_bytes: int = 0


@dataclass(slots=True)
class _Watch:
    """Passes progress on, and remembers how much came."""

    tell: Callable[[Progress], None]
    received_bytes: int = field(default=0)

    def __call__(self, progress: Progress) -> None:
        self.received_bytes = progress.received_bytes
        self.tell(progress)


class Updater:
    """Brings versions into the slot that does not serve.

    Args:
        trust: decides what is believed.
        fetcher: brings chunks into the folder.
        chunks: the folder.
        slots: read and held by the caller.
        started: what was found in them.
        bundle: the folder that the configuration names.
        served_digest: returns the digest of the model that a running agent serves; None: no agent runs.
    """

    def __init__(
        self,
        trust: Trust,
        fetcher: Fetcher,
        chunks: ChunkFolder,
        slots: Slots,
        started: Started,
        bundle: Path,
        served_digest: Callable[[], str | None],
    ) -> None:
        self._trust = trust
        self._fetcher = fetcher
        self._chunks = chunks
        self._slots = slots
        self._serving = started.index
        self._bundle = bundle
        self._served_digest = served_digest

    async def update(self, source: Source, wanted: Wanted, tell: Callable[[Progress], None]) -> Outcome:
        """Makes what is wanted the current version, on probation, unless it is that already.

        Args:
            source: to ask.
            wanted: what is to serve.
            tell: is given the progress of the download.

        Raises:
            SeawallError: as Trust.targets, Fetcher.fetch and Slots.stage say; what serves goes on serving.
        """
        model = wanted.model or await asyncio.to_thread(self._own_model)
        version = wanted.version or await self._newest(source, model)
        if not wanted.version and (newer := self._newer(model, version)) is not None:
            return self._unchanged(newer)
        watch = _Watch(tell)
        index, is_new = await self.bring(source, model, version, watch)
        if not is_new:
            return self._unchanged(index)
        await asyncio.to_thread(self._slots.switch)
        return replace(self._unchanged(index), changed=True, received_bytes=watch.received_bytes)

    async def bring(self, source: Source, model: str, version: str, tell: Callable[[Progress], None]) -> tuple[Index, bool]:
        """Stages a version in the slot that does not serve. Returns its index, and whether it is another than the one that serves.

        Args:
            source: to ask.
            model: by name.
            version: of it.
            tell: is given the progress of the download.

        Raises:
            SeawallError: as Trust.targets, Fetcher.fetch and Slots.stage say; what serves goes on serving.
        """
        index = await self._trust.index(source, _ROLE, model, version)
        if await asyncio.to_thread(self._serves, index):
            return index, False
        if not self._is_staged(index):
            await self._stage(index, source, tell)
        await asyncio.to_thread(self._chunks.clear)
        return index, True

    def _own_model(self) -> str:
        if self._serving is not None:
            return self._serving.model
        try:
            return load_bundle(self._bundle, verify=False).name
        except InvalidRequest as error:
            raise InvalidRequest(
                error.reason, f"No model is here yet ({error.message}) Name the one that is wanted with --model."
            ) from error

    async def _newest(self, source: Source, model: str) -> str:
        version = newest(await self._trust.versions(source, _ROLE, model))
        if version is None:
            raise NotFound(Reason.RELEASE_NOT_FOUND, f"{source.name} has no version of {model}: publish one there, or name a --model.")
        return version

    def _newer(self, model: str, version: str) -> Index | None:
        """Returns what serves, if it is the same model and not older."""
        serving = self._serving
        is_newer = serving is not None and serving.model == model and version_key(version) <= version_key(serving.version)
        return serving if is_newer else None

    def _serves(self, index: Index) -> bool:
        """The configuration's bundle has no index; two bundles are the same where `bundle.json` is, which has the digests of the rest."""
        if self._serving is not None:
            return self._serving == index
        try:
            load_bundle(self._bundle)
            digest = hashlib.sha256((self._bundle / BUNDLE_FILE).read_bytes()).hexdigest()
        except (InvalidRequest, OSError):  # what is damaged or missing is to be replaced
            return False
        return any(file.name == BUNDLE_FILE and file.sha256 == digest for file in index.files)

    def _unchanged(self, index: Index) -> Outcome:
        previous = self._serving.version if self._serving is not None else ""
        return Outcome(index.model, index.version, previous, False, self._slots.record.current)

    def _is_staged(self, index: Index) -> bool:
        entry = self._slots.record.entries[self._slots.record.other]
        return entry.state is SlotState.VERIFIED and entry.index_sha256 == hashlib.sha256(index.to_json()).hexdigest()

    async def _stage(self, index: Index, source: Source, tell: Callable[[Progress], None]) -> None:
        self._slots.check_probation()
        await asyncio.to_thread(self._check_other_is_free)
        held = self._held(index)
        await asyncio.to_thread(self._make_ready, index, held)
        await self._fetcher.fetch(index, source, held, tell)

        def read(chunk: Chunk) -> bytes:
            for holder in (self._chunks, *held):
                if (content := holder.find(chunk)) is not None:
                    return content
            raise Unavailable(Reason.STORE_UNAVAILABLE, "A chunk that was here can no longer be read: look at the disk, then update again.")

        await finished(self._slots.stage, index.to_json(), read)

    def _check_other_is_free(self) -> None:
        """After a roll-back, the agent serves from the slot that was given up until it is started again."""
        served, slot = self._served_digest(), self._slots.other_bundle
        if served is None:
            return
        try:
            is_served = load_bundle(slot, verify=False).digest() == served and not self._is_current(served)
        except InvalidRequest:  # nothing is in it that could be served
            return
        if is_served:
            raise NotPossibleNow(
                Reason.UPDATE_NOT_POSSIBLE,
                "The running agent still serves from the slot that this update needs: systemctl restart seawall-agent, then update again.",
            )

    def _is_current(self, digest: str) -> bool:
        return self._slots.bundle is not None and load_bundle(self._slots.bundle, verify=False).digest() == digest

    def _held(self, index: Index) -> tuple[Holder, ...]:
        """What stays while the other slot is written."""
        return self._holders(self._slots.record.current, self._bundle, index)

    def _holders(self, slot: str, folder: Path, index: Index) -> tuple[Holder, ...]:
        """A slot's own index says where its chunks are; of a folder without one, what lies where the new index says is found."""
        held = self._slots.held_files(slot) if slot else None
        return (*([held] if held is not None else []), HeldFiles(folder, index))

    def _make_ready(self, index: Index, held: tuple[Holder, ...]) -> None:
        """Puts aside what only the slot has that is written over, and checks that the rest has room."""
        self._slots.check_room(index)
        others = self._holders(self._slots.record.other, self._slots.other_bundle, index)
        missing_bytes = 0
        for chunk in index.chunks().values():
            if any(holder.find(chunk) is not None for holder in (self._chunks, *held)):
                continue
            content = next((content for holder in others if (content := holder.find(chunk)) is not None), None)
            if content is None:
                missing_bytes += chunk.size_bytes
            else:
                self._chunks.keep(chunk, content)
        self._slots.check_room(index, missing_bytes)
