"""What serves: the slots and the model that is loaded, changed together."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.inference.current import CurrentModel
from agent.inference.loading import load_bundle
from agent.store.rollouts import Before
from agent.update.blocking import finished
from agent.update.progress import Progress
from agent.update.slots import Slots, SlotState, Started
from agent.update.starting import serve
from contract.errors import InvalidRequest, NotFound, SeawallError
from contract.release import Index

Tell = Callable[[Progress], None]
Bring = Callable[[Started, str, str, Tell], Awaitable[tuple[Index, bool]]]
"""Stages a version, given the slots as they were read, its model and its number; see `Updater.bring`."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where models are.

    Args:
        slots: read.
        models: that answer.
        configured: the folder of the configuration's bundle.
        bring: stages a version.
    """

    slots: Slots
    models: CurrentModel
    configured: Path
    bring: Bring


class Deployment:
    """Changes what serves. Whatever fails on the way, something that has served serves.

    Args:
        places: where models are.
    """

    def __init__(self, places: Places) -> None:
        self.slots = places.slots
        self.models = places.models
        self._configured = places.configured
        self._bring = places.bring
        self._found = Started(None, None, ())

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps `seawall-agent update` away until the block ends; see `Slots.held`."""
        with self.slots.held():
            yield

    async def trial_rollout(self) -> str:
        """Returns the rollout that has what the slots call current on probation; empty: none has."""
        return (await asyncio.to_thread(self.slots.look)).rollout

    @property
    def slot(self) -> str:
        """The slot that serves now; empty: none does."""
        return self.slots.name_of(self.models.folder)

    @property
    def digest(self) -> str:
        """Of the bundle that serves now; empty: none does."""
        return "" if self.models.away else self.models.bundle.digest()

    def before(self) -> Before:
        """Returns what serves now, as it will be found again. To be called after `bring`."""
        bundle, index = self.models.bundle, self._found.index
        if index is None or self.models.folder != self._found.bundle:
            return Before(bundle.name, bundle.version, "", self.digest)
        return Before(index.model, index.version, self.slots.record.entries[self.slots.record.current].index_sha256, self.digest)

    async def bring(self, model: str, version: str, tell: Tell) -> bool:
        """Stages a version. Returns whether it is another than the one that serves. To be called while the slots are held.

        Raises:
            SeawallError: as `Updater.bring`; or UPDATE_NOT_POSSIBLE, the one that serves is on a probation that a person must end.
        """
        self._found = await finished(self.slots.start)
        self.slots.check_probation()
        _, is_new = await self._bring(self._found, model, version, tell)
        return is_new

    async def put_in(self, rollout: str) -> str:
        """Has what is staged serve, on probation. Returns why it cannot be loaded, and what served before serves; empty: it serves.

        Raises:
            SeawallError: the disk does not take it, which is no fault of the version; what served before serves.
        """
        folder = await finished(self.slots.switch, rollout)
        try:
            await self.models.exchange(folder)
        except SeawallError as error:
            await self._serve(await finished(self.slots.roll_back, error.message))
            return error.message
        return ""

    async def catch_up(self) -> None:
        """Has the model that the slots call current serve, where an earlier step was cut off.

        Raises:
            SeawallError: it cannot be loaded.
        """
        folder = self.slots.bundle
        if folder is not None and folder != self.models.folder:
            await self.models.exchange(folder)

    async def prove(self) -> None:
        """Ends the probation: the version is kept."""
        with self.held():
            await finished(self.slots.prove)

    async def discard(self) -> None:
        """Removes what is staged. To be called while the slots are held."""
        await finished(self.slots.discard)

    async def roll_back(self, rollout: str, why: str) -> None:
        """Gives up what is on probation; what served before serves again."""
        with self.held():
            found = await finished(self.slots.start)
            if self.slots.record.rollout == rollout:
                found = await finished(self.slots.roll_back, why)
            await self._serve(found)

    async def give_back(self, model: str, version: str, before: Before | None, why: str, tell: Tell) -> bool:
        """Gives up a version that was proven, for what served before it; removes it where it was only staged.

        What served before is in the other slot, or is fetched again, or is the configuration's bundle; where nobody knows any more what it
        was, it is what the other slot has, if that has served. Returns whether there was something to give back.

        Raises:
            SeawallError: what served before cannot be had now; the version serves on.
        """
        with self.held():
            found = await finished(self.slots.start)
            if found.index is None or (found.index.model, found.index.version) != (model, version):
                await finished(self.slots.discard)
                return False
            if before is not None and before.digest == self.digest:
                return False
            other = self.slots.record.entries[self.slots.record.other].index_sha256
            index_sha256 = before.index_sha256 if before is not None else other
            if index_sha256 and not await finished(self.slots.holds, index_sha256):
                if before is not None and await self._fetched_again(before, found, tell):
                    await self._serve(await finished(self.slots.start))
                    return True
                index_sha256 = ""
            if not index_sha256:
                await asyncio.to_thread(load_bundle, self._configured)
            await self._serve(await finished(self.slots.give_back, index_sha256, why))
            return True

    async def _fetched_again(self, before: Before, found: Started, tell: Tell) -> bool:
        """Brings what served before; False: nobody vouches for it any more."""
        try:
            _, is_new = await self._bring(found, before.model, before.version, tell)
        except (NotFound, InvalidRequest):
            return False
        if is_new:
            await finished(self.slots.switch, "", SlotState.PROVEN)
        return is_new

    async def _serve(self, found: Started) -> None:
        await serve(self.models, self.slots, found, self._configured)
