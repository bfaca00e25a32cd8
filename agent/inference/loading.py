"""Reads a model bundle from disk and trusts none of it: every file must be there, of the size and digest that `bundle.json` says."""

import hashlib
import stat
from pathlib import Path
from typing import NoReturn

from contract.bundle import BUNDLE_FILE, MODEL_FILE, TOKENIZER_FILE, Bundle, FileEntry
from contract.errors import InvalidRequest, Reason

_LONGEST_BUNDLE_FILE_BYTES = 1 << 20
"""Of `bundle.json`: its largest part is a chat template, of some kilobytes."""


def load_bundle(folder: Path, *, verify: bool = True) -> Bundle:
    """Reads the bundle in a folder.

    Args:
        folder: the bundle's folder; it may itself be a link, nothing in it may.
        verify: whether to compare every file with its digest. Without it `bundle.json` alone is read, for a look at what it says.

    Raises:
        InvalidRequest: BUNDLE_INVALID: something is missing, changed or too much.
    """
    try:
        bundle = Bundle.from_json(_read_head(folder))
        if verify:
            _check_names(folder, bundle)
            for name, entry in sorted(bundle.files.items()):
                _check_file(folder / name, entry)
    except OSError as error:
        _refuse(folder, f"{Path(error.filename or folder).name}: {error.strerror}")
    return bundle


def _read_head(folder: Path) -> bytes:
    path = folder / BUNDLE_FILE
    size_bytes = _regular_size_bytes(path)
    if size_bytes > _LONGEST_BUNDLE_FILE_BYTES:
        _refuse(folder, f"{BUNDLE_FILE} has {size_bytes} bytes, at most {_LONGEST_BUNDLE_FILE_BYTES} are read")
    return path.read_bytes()


def _check_names(folder: Path, bundle: Bundle) -> None:
    if lacking := {MODEL_FILE, TOKENIZER_FILE} - set(bundle.files):
        _refuse(folder, f"{BUNDLE_FILE} names no {sorted(lacking)[0]}")
    present = {path.name for path in folder.iterdir()} - {BUNDLE_FILE}
    if missing := set(bundle.files) - present:
        _refuse(folder, f"{sorted(missing)[0]} is missing")
    if extra := present - set(bundle.files):
        _refuse(folder, f"{sorted(extra)[0]!r} does not belong to it")


def _check_file(path: Path, entry: FileEntry) -> None:
    size_bytes = _regular_size_bytes(path)
    if size_bytes != entry.size_bytes:
        _refuse(path.parent, f"{path.name} has {size_bytes} bytes instead of {entry.size_bytes}")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
            _refuse(path.parent, f"{path.name} is damaged: its digest differs")


def _regular_size_bytes(path: Path) -> int:
    """Returns the size of a file that is a file and no link, folder, pipe or device."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        _refuse(path.parent, f"{path.name} is no regular file")
    return status.st_size


def _refuse(folder: Path, why: str) -> NoReturn:
    raise InvalidRequest(Reason.BUNDLE_INVALID, f"The model bundle {folder} cannot be used: {why}. Build it again, or fetch it anew.")
