"""The two slots of the agent's model: one serves, the next version is staged in the other.

    empty → staging → verified → current → proven → empty
                                    └ rolled back → empty

The record is written before a slot is touched and after it is whole. So whatever the power does, the slot that the record calls current
has not been written to since every byte of it was verified and synced.
"""

import errno
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from agent.identity.files import sync_folder
from agent.update.chunk_folder import HeldFiles
from agent.update.slot_files import BUNDLE_FOLDER, ReadChunk, read_bundle_file, read_index, verify_slot, write_slot
from agent.update.slot_record import SLOT_NAMES, SlotEntry, SlotRecord, SlotState, has_record, locked_slots, read_record, write_record
from contract.bundle import Bundle
from contract.errors import InvalidRequest, NotPossibleNow, Reason, SeawallError, Unavailable
from contract.release import Index

SPARE_BYTES = 64 << 20
"""Left to the store and the log when a version is staged."""

_EMPTY = SlotEntry()
_HAVE_SERVED = (SlotState.CURRENT, SlotState.PROVEN)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """What was found at start.

    Args:
        bundle: the folder of the model that is to serve; None: no slot can.
        index: of that model.
        problems: what was wrong, in sentences.
        last: the model that served before, where no slot can and its `bundle.json` is still whole.
    """

    bundle: Path | None
    index: Index | None
    problems: tuple[str, ...]
    last: Bundle | None = None


def disk_free_bytes(folder: Path) -> int:
    """Returns the room on the disk of a folder, which need not be there yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


class Slots:
    """The slots. Every method blocks, for as long as the disk takes; one thread at a time.

    Args:
        folder: `models/slots` in the state folder; made when it is first written to.
        free_bytes: returns the room on the disk.
        spare_bytes: of it that are left to others.
    """

    def __init__(self, folder: Path, free_bytes: Callable[[Path], int] = disk_free_bytes, spare_bytes: int = SPARE_BYTES) -> None:
        self._folder = folder
        self._free_bytes = free_bytes
        self._spare_bytes = spare_bytes
        self._record = SlotRecord()
        self._is_held = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other processes from writing to the slots until the block ends. An agent that starts meanwhile only reads them.

        Raises:
            NotPossibleNow: UPDATE_NOT_POSSIBLE, another process holds them; or DISK_FULL.
            Unavailable: STORE_UNAVAILABLE, the disk does not take it.
        """
        with ExitStack() as lock:
            try:
                with self._disk():
                    lock.enter_context(locked_slots(self._folder))
            except Unavailable as error:
                if isinstance(error.__cause__, BlockingIOError):
                    raise _not_possible("another update is under way: wait for it, or end it") from error
                raise
            self._is_held = True
            try:
                yield
            finally:
                self._is_held = False

    @property
    def record(self) -> SlotRecord:
        """What is known of the slots."""
        return self._record

    @property
    def is_used(self) -> bool:
        """Whether a version was ever staged here; also where nothing of that is left."""
        return has_record(self._folder)

    @property
    def bundle(self) -> Path | None:
        """The folder of the model that the current slot holds."""
        return self._bundle(self._record.current) if self._record.current else None

    @property
    def other_bundle(self) -> Path:
        """Where the slot that does not serve has its model, if it has one."""
        return self._bundle(self._record.other)

    def start(self) -> Started:
        """Reads the record and verifies the current slot; takes the other one where that is damaged. Serving needs no writing."""
        try:
            self._record = read_record(self._folder)
        except (OSError, ValueError) as error:
            self._record = SlotRecord()
            return Started(
                None, None, self._told([f"The record of the model slots cannot be used ({error}): no slot is trusted without it."])
            )
        return self._settle([])

    def reject(self, why: str) -> Started:
        """Takes the other slot, because the current one cannot be loaded although its bytes are right; see `start`.

        Args:
            why: a sentence.
        """
        problems = [why]
        self._fall_back(problems)
        return self._settle(problems)

    def check_room(self, index: Index, fetched_bytes: int = 0) -> None:
        """Checks that a version fits onto the disk beside the one that serves.

        Args:
            index: of the version.
            fetched_bytes: what is still to be fetched, and lies on the disk too until it is staged.

        Raises:
            NotPossibleNow: DISK_FULL, with how much is missing.
        """
        needed = index.size_bytes() + fetched_bytes + self._spare_bytes
        usable = self._free_bytes(self._folder) + _size_bytes(self._folder / self._record.other)
        if usable < needed:
            raise NotPossibleNow(
                Reason.DISK_FULL,
                f"Version {index.version} of {index.model} needs {needed} bytes on the disk of {self._folder}, {usable} can be had:"
                f" make room for {needed - usable} more. The model that serves stays.",
            )

    def check_probation(self) -> None:
        """Checks that the other slot is not needed as the way back.

        Raises:
            NotPossibleNow: UPDATE_NOT_POSSIBLE, the current one is on probation.
        """
        current = self._record.current
        if self._record.rollout:
            raise _not_possible(f"{self._record.rollout} has the model that serves on probation, and ends that by itself")
        if current and self._record.entries[current].state is SlotState.CURRENT:
            raise _not_possible(
                "the model that serves is on probation, and the other slot is the way back: "
                "seawall-agent update --keep if it answers well, --back if it does not"
            )

    def held_files(self, name: str) -> HeldFiles | None:
        """Returns the chunks of a slot that is whole; None: it is not.

        Args:
            name: of the slot.
        """
        entry = self._record.entries[name]
        if not entry.index_sha256:
            return None
        try:
            return HeldFiles(self._folder / name / BUNDLE_FOLDER, read_index(self._folder / name, entry.index_sha256))
        except (OSError, InvalidRequest):  # what cannot be read is fetched
            return None

    def stage(self, index_json: bytes, read: ReadChunk) -> Index:
        """Writes a version into the slot that does not serve, and verifies every byte of it.

        Args:
            index_json: as TUF verified it.
            read: gives the chunks.

        Raises:
            InvalidRequest: RELEASE_INVALID or BUNDLE_INVALID, it is not what the index says.
            NotPossibleNow: DISK_FULL; or UPDATE_NOT_POSSIBLE, the current one is on probation and may need the other.
            Unavailable: STORE_UNAVAILABLE, the disk does not take it.
        """
        index = Index.from_json(index_json)
        self.check_probation()
        self.check_room(index)
        name = self._record.other
        slot = self._folder / name
        with self._disk():
            self._write(self._record.with_entry(name, SlotEntry(SlotState.STAGING)))
            self._remove(name)
        try:
            with self._disk():
                write_slot(slot, index_json, read)
                digest = hashlib.sha256(index_json).hexdigest()
                verify_slot(slot, digest)
                self._write(self._record.with_entry(name, SlotEntry(SlotState.VERIFIED, digest)))
        except SeawallError:
            self._give_up(name)
            raise
        return index

    def discard(self) -> None:
        """Removes what is staged, because it was found bad; the slot is free again.

        Raises:
            Unavailable: STORE_UNAVAILABLE, the disk does not take it.
        """
        name = self._record.other
        if self._record.entries[name].state is SlotState.VERIFIED:
            with self._disk():
                self._write(self._record.with_entry(name, _EMPTY))
                self._remove(name)

    def switch(self, rollout: str = "", state: SlotState = SlotState.CURRENT) -> Path:
        """Makes the verified slot the current one, on probation; returns its bundle's folder.

        Args:
            rollout: that will end the probation; empty: a person will.
            state: PROVEN for a version that has served well before: it needs no probation.

        Raises:
            NotPossibleNow: UPDATE_NOT_POSSIBLE, nothing is staged.
            Unavailable: STORE_UNAVAILABLE, the disk does not take it; the old one stays.
        """
        name = self._record.other
        entry = self._record.entries[name]
        if entry.state is not SlotState.VERIFIED:
            raise _not_possible("nothing is staged that could be switched to")
        switched = self._record.with_entry(name, replace(entry, state=state, rollout=rollout))
        with self._disk():
            self._write(replace(switched, current=name))
        return self._bundle(name)

    def prove(self) -> None:
        """Ends the probation of the current slot.

        Raises:
            NotPossibleNow: UPDATE_NOT_POSSIBLE, no slot serves.
            Unavailable: STORE_UNAVAILABLE, the disk does not take it.
        """
        current = self._record.current
        if not current:
            raise _not_possible("no slot serves")
        with self._disk():
            self._write(self._record.with_entry(current, replace(self._record.entries[current], state=SlotState.PROVEN, rollout="")))

    def roll_back(self, why: str) -> Started:
        """Gives up the current slot and takes the other, verified again; see `start`. Where that is none: no slot.

        Args:
            why: a sentence.

        Raises:
            NotPossibleNow: UPDATE_NOT_POSSIBLE, the current one is not on probation.
        """
        if self._record.current == "" or self._record.entries[self._record.current].state is not SlotState.CURRENT:
            raise _not_possible("no slot is on probation")
        return self.reject(why)

    def give_back(self, index_sha256: str, why: str) -> Started:
        """Gives up the current slot, proven or not, for what served before it: the other slot, if it still holds that; see `start`.

        Args:
            index_sha256: of what served before; empty: the configuration's bundle did.
            why: a sentence.
        """
        entry = self._record.entries[self._record.other]
        problems = [why]
        self._fall_back(problems, is_other_wanted=bool(index_sha256) and entry.index_sha256 == index_sha256)
        return self._settle(problems)

    def holds(self, index_sha256: str) -> bool:
        """Says whether the other slot holds a version that has served, and is whole."""
        entry = self._record.entries[self._record.other]
        if not index_sha256 or entry.index_sha256 != index_sha256 or entry.state not in _HAVE_SERVED:
            return False
        try:
            verify_slot(self._folder / self._record.other, index_sha256)
        except InvalidRequest:
            return False
        return True

    def name_of(self, folder: Path | None) -> str:
        """Returns the slot whose model is in a folder; empty: it is no slot's."""
        return next((name for name in SLOT_NAMES if folder == self._bundle(name)), "")

    def look(self) -> SlotRecord:
        """Reads the record, which another process may have changed, and trusts nothing else; an unreadable one is that of empty slots."""
        try:
            return read_record(self._folder)
        except (OSError, ValueError):
            return SlotRecord()

    def reclaim(self) -> int:
        """Removes the slot that no longer serves, once the current one is proven; returns how many bytes that gives.

        Raises:
            Unavailable: STORE_UNAVAILABLE, the disk does not take it.
        """
        current, name = self._record.current, self._record.other
        if not current or self._record.entries[current].state is not SlotState.PROVEN:
            return 0
        size_bytes = _size_bytes(self._folder / name)
        with self._disk():
            self._write(self._record.with_entry(name, _EMPTY))
            self._remove(name)
        return size_bytes

    def _settle(self, problems: list[str]) -> Started:
        """Verifies the current slot, and the other one where it must serve."""
        last: Bundle | None = None
        while self._record.current:
            name = self._record.current
            try:
                index = verify_slot(self._folder / name, self._record.entries[name].index_sha256)
            except InvalidRequest as error:
                problems.append(error.message)
                last = last or read_bundle_file(self._folder / name, self._record.entries[name].index_sha256)
                self._fall_back(problems)
            else:
                return Started(self._bundle(name), index, self._told(problems))
        return Started(None, None, self._told(problems), last)

    def _bundle(self, name: str) -> Path:
        return self._folder / name / BUNDLE_FOLDER

    def _fall_back(self, problems: list[str], *, is_other_wanted: bool = True) -> None:
        """Gives up the current slot. The other one serves if it has before; it is not asked whether it was only staged."""
        given_up, other = self._record.current, self._record.other
        has_served = is_other_wanted and self._record.entries[other].state in _HAVE_SERVED
        fallen = replace(self._record.with_entry(given_up, _EMPTY), current=other if has_served else "")
        try:
            with nullcontext() if self._is_held else locked_slots(self._folder):
                self._write(fallen)
        except OSError as error:
            problems.append(f"That slot {given_up} is given up cannot be written down: {error.strerror}.")
            self._record = fallen

    def _write(self, record: SlotRecord) -> None:
        write_record(self._folder, record)
        self._record = record

    def _remove(self, name: str) -> None:
        if (self._folder / name).exists():
            shutil.rmtree(self._folder / name)
            sync_folder(self._folder)

    def _give_up(self, name: str) -> None:
        """Frees what a failed staging has taken; the record comes after, for a full disk may need the room."""
        try:
            self._remove(name)
            self._write(self._record.with_entry(name, _EMPTY))
        except OSError as error:
            _log.warning("what was staged cannot be removed", slot=name, error=str(error))

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """What the disk refuses becomes ours."""
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                message = f"The disk of {self._folder} is full: make room, then update again. The model that serves stays."
                raise NotPossibleNow(Reason.DISK_FULL, message) from error
            message = f"The model slots in {self._folder} cannot be written ({error.strerror}): mend the disk. The model that serves stays."
            raise Unavailable(Reason.STORE_UNAVAILABLE, message) from error

    def _told(self, problems: list[str]) -> tuple[str, ...]:
        for problem in problems:
            _log.error("model slots", problem=problem)
        return tuple(problems)


def _not_possible(why: str) -> NotPossibleNow:
    return NotPossibleNow(Reason.UPDATE_NOT_POSSIBLE, f"This is not possible now: {why}.")


def _size_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))


__all__ = ["SLOT_NAMES", "SPARE_BYTES", "SlotState", "Slots", "Started", "disk_free_bytes"]
