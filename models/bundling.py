"""Puts a bundle's folder in its place whole, or not at all."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.bundle import BUNDLE_FILE, FileEntry
from contract.errors import Conflict, Reason

_READABLE = 0o644
"""The agent runs as another user than the one who builds."""


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yields an empty folder beside `target`, which takes its place, synced to disk, when the block ends without an error.

    Raises:
        Conflict: FIELD_INVALID: something that is no bundle is in the place.
    """
    if target.is_symlink() or (target.exists() and not (target / BUNDLE_FILE).is_file()):
        raise Conflict(Reason.FIELD_INVALID, f"{target} is there and is no model bundle. Name another place with --out.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as room:
        folder = Path(room) / "new"
        folder.mkdir()
        yield folder
        for path in folder.iterdir():
            path.chmod(_READABLE)
            _sync(path)
        _sync(folder)
        if target.exists():
            target.rename(Path(room) / "old")
        folder.rename(target)
        _sync(target.parent)


def entries(folder: Path) -> dict[str, FileEntry]:
    """Returns the size and digest of every file in a folder."""
    return {path.name: _entry(path) for path in sorted(folder.iterdir())}


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as file:
        return FileEntry(sha256=hashlib.file_digest(file, "sha256").hexdigest(), size_bytes=path.stat().st_size)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
