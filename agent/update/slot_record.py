"""What is known of the two slots: one small file, put there by renaming, so that a power cut leaves the old one or the new one."""

import fcntl
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from agent.identity.files import sync_folder, write_private

SLOT_NAMES = ("a", "b")

_FILE = "record.json"
_LOCK = "lock"
_FORMAT_VERSION = 1
_MOST_BYTES = 10_000
_SHA256 = re.compile(r"[0-9a-f]{64}")


class SlotState(StrEnum):
    """How far a slot has come."""

    EMPTY = "empty"
    STAGING = "staging"
    VERIFIED = "verified"
    CURRENT = "current"
    """Serves, on probation."""
    PROVEN = "proven"
    """Has served well. Both slots can be, one serves."""


@dataclass(frozen=True, slots=True)
class SlotEntry:
    """One slot.

    Args:
        state: how far it has come.
        index_sha256: of the index that its files were verified against; empty before.
        rollout: that has it on probation, and ends that by itself; empty: a person does.
    """

    state: SlotState = SlotState.EMPTY
    index_sha256: str = ""
    rollout: str = ""


@dataclass(frozen=True, slots=True)
class SlotRecord:
    """Both slots.

    Args:
        current: the name of the one that serves; empty: none does.
        entries: by name.
    """

    current: str = ""
    entries: dict[str, SlotEntry] = field(default_factory=lambda: {name: SlotEntry() for name in SLOT_NAMES})

    @property
    def other(self) -> str:
        """The slot that does not serve; the first one where none does."""
        return SLOT_NAMES[1] if self.current == SLOT_NAMES[0] else SLOT_NAMES[0]

    @property
    def rollout(self) -> str:
        """The rollout that has the current slot on probation; empty: none has."""
        entry = self.entries[self.current] if self.current else SlotEntry()
        return entry.rollout if entry.state is SlotState.CURRENT else ""

    def with_entry(self, name: str, entry: SlotEntry) -> "SlotRecord":
        """Returns the record with another entry for a slot."""
        return replace(self, entries={**self.entries, name: entry})


def has_record(folder: Path) -> bool:
    """Says whether there is a record, whole or not."""
    return (folder / _FILE).exists()


def read_record(folder: Path) -> SlotRecord:
    """Returns the record in a folder; that of two empty slots where there is none.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged.
    """
    try:
        with (folder / _FILE).open("rb") as file:
            text = file.read(_MOST_BYTES)
    except FileNotFoundError:
        return SlotRecord()
    try:
        return _parse(json.loads(text))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {str(error)[:200]}") from error


def write_record(folder: Path, record: SlotRecord) -> None:
    """Writes the record, synced to the disk.

    Raises:
        OSError: the disk does not take it.
    """
    if not folder.is_dir():
        make_synced_folder(folder)
    write_private(folder / _FILE, json.dumps({"format_version": _FORMAT_VERSION, **asdict(record)}, indent=1).encode())


@contextmanager
def locked_slots(folder: Path) -> Iterator[None]:
    """Holds the lock of the slots, which ends with the process at the latest.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the disk does not take it.
    """
    if not folder.is_dir():
        make_synced_folder(folder)
    with (folder / _LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def make_synced_folder(folder: Path) -> None:
    """Makes a folder, and those above it that are missing, so that they are there after a power cut.

    Raises:
        OSError: the disk does not take it.
    """
    if not folder.parent.is_dir():
        make_synced_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def _parse(content: Any) -> SlotRecord:
    if content["format_version"] != _FORMAT_VERSION:
        raise ValueError(f"format_version is {content['format_version']!r}, this version reads {_FORMAT_VERSION}")
    record = SlotRecord(content["current"], {name: _entry(content["entries"][name]) for name in SLOT_NAMES})
    if record.current not in ("", *SLOT_NAMES):
        raise ValueError(f"there is no slot {record.current!r}")
    return record


def _entry(content: Any) -> SlotEntry:
    entry = SlotEntry(SlotState(content["state"]), content["index_sha256"], content.get("rollout", ""))
    has_files = entry.state not in (SlotState.EMPTY, SlotState.STAGING)
    if has_files and not _SHA256.fullmatch(entry.index_sha256):
        raise ValueError("a slot's index_sha256 is no digest")
    if not isinstance(entry.rollout, str):
        raise TypeError("a slot's rollout is no text")
    return entry
