"""The files of one slot: `index.json`, as TUF verified it, and beside it the folder `bundle` with the files that it names."""

import hashlib
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from agent.identity.files import sync_folder, write_private
from agent.update.slot_record import make_synced_folder
from contract.bundle import BUNDLE_FILE, Bundle
from contract.errors import InvalidRequest, Reason, SeawallError
from contract.release import MAX_INDEX_BYTES, Chunk, Index, IndexFile

BUNDLE_FOLDER = "bundle"
INDEX_FILE = "index.json"

ReadChunk = Callable[[Chunk], bytes]
"""Returns the plain bytes of a chunk."""

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def write_slot(slot: Path, index_json: bytes, read: ReadChunk) -> None:
    """Writes the files of an index into a folder that is not there yet. When this returns, all of it is on the disk.

    Args:
        slot: the slot's folder.
        index_json: as TUF verified it.
        read: gives the chunks.

    Raises:
        InvalidRequest: RELEASE_INVALID, a name leaves its folder, or what was read is not what the index says.
        OSError: the disk does not take it.
    """
    index = Index.from_json(index_json)
    bundle = slot / BUNDLE_FOLDER
    make_synced_folder(bundle)
    for file in index.files:
        _write_file(bundle, file, read)
    sync_folder(bundle)
    write_private(slot / INDEX_FILE, index_json)


def verify_slot(slot: Path, index_sha256: str) -> Index:
    """Compares every byte of a slot with its index, and returns that.

    Args:
        slot: the slot's folder.
        index_sha256: of the index that TUF verified.

    Raises:
        InvalidRequest: BUNDLE_INVALID, something is missing, changed or too much.
    """
    try:
        index = read_index(slot, index_sha256)
        bundle = slot / BUNDLE_FOLDER
        present = {path.name for path in bundle.iterdir()}
        if extra := present - {file.name for file in index.files}:
            _damaged(slot, f"{sorted(extra)[0]!r} does not belong to it")
        for entry in index.files:
            _verify_file(slot, bundle, entry)
    except OSError as error:
        _damaged(slot, f"{Path(error.filename or slot).name}: {error.strerror}")
    except SeawallError as error:
        if error.reason is Reason.BUNDLE_INVALID:
            raise
        _damaged(slot, error.message)
    return index


def read_bundle_file(slot: Path, index_sha256: str) -> Bundle | None:
    """Returns what `bundle.json` of a damaged slot says, if that file and the index are whole; else None."""
    try:
        index = read_index(slot, index_sha256)
        text = (slot / BUNDLE_FOLDER / BUNDLE_FILE).read_bytes()
        digests = [file.sha256 for file in index.files if file.name == BUNDLE_FILE]
        return Bundle.from_json(text) if digests == [hashlib.sha256(text).hexdigest()] else None
    except (OSError, InvalidRequest):
        return None


def inside(folder: Path, name: str) -> Path:
    """Returns the path of a file that lies directly in a folder.

    Raises:
        InvalidRequest: RELEASE_INVALID, the name would lead out of it.
    """
    if not _FILE_NAME.fullmatch(name):
        raise InvalidRequest(Reason.RELEASE_INVALID, f"The file name {name[:80]!r} may not be used: it could lead out of its folder.")
    return folder / name


def read_index(slot: Path, index_sha256: str) -> Index:
    """Returns the index of a slot, without a look at its files.

    Raises:
        InvalidRequest: BUNDLE_INVALID or RELEASE_INVALID, it is not the one that was verified.
        OSError: it cannot be read.
    """
    with (slot / INDEX_FILE).open("rb") as file:
        text = file.read(MAX_INDEX_BYTES + 1)
    if hashlib.sha256(text).hexdigest() != index_sha256:
        _damaged(slot, f"{INDEX_FILE} is not the one that was verified")
    return Index.from_json(text)


def _write_file(bundle: Path, entry: IndexFile, read: ReadChunk) -> None:
    path = inside(bundle, entry.name)
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in entry.chunks:
            content = read(chunk)
            if len(content) != chunk.size_bytes:
                _wrong(entry)
            digest.update(content)
            file.write(content)
        file.flush()
        os.fsync(descriptor)
        # What is verified afterwards is read from the disk, and the pages of the model that serves stay where they are.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    if digest.hexdigest() != entry.sha256:
        _wrong(entry)


def _verify_file(slot: Path, bundle: Path, entry: IndexFile) -> None:
    descriptor = os.open(inside(bundle, entry.name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            _damaged(slot, f"{entry.name} is no regular file")
        if status.st_size != entry.size_bytes:
            _damaged(slot, f"{entry.name} has {status.st_size} bytes instead of {entry.size_bytes}")
        if hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
            _damaged(slot, f"the digest of {entry.name} differs")


def _wrong(entry: IndexFile) -> NoReturn:
    raise InvalidRequest(
        Reason.RELEASE_INVALID, f"What came for {entry.name} is not what the index says: nothing of it is kept. Fetch it again."
    )


def _damaged(slot: Path, why: str) -> NoReturn:
    raise InvalidRequest(Reason.BUNDLE_INVALID, f"Slot {slot.name} is damaged: {why}. It is not used, and is fetched anew.")
