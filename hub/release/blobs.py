"""Where blobs are kept: a folder, or anything that obstore knows: S3 and its kin, Google's and Azure's stores."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from contract.errors import NotPossibleNow, Reason, Unavailable
from contract.release import blob_path
from hub.folder import sync_folder

LOOKS_AT_ONCE = 32
"""Questions to an object store that are under way at the same time."""


class Blobs(Protocol):
    """A store of blobs, each under its digest."""

    async def get(self, sha256: str) -> bytes | None:
        """Returns a blob as it is stored; None: it is not here."""
        ...

    async def put(self, sha256: str, stored: bytes) -> None:
        """Keeps a blob; when this returns it is on the disk."""
        ...

    async def missing(self, digests: Sequence[str]) -> list[str]:
        """Returns those that are not here."""
        ...


def open_blobs(url: str, folder: Path) -> Blobs:
    """Returns the store that the settings name.

    Args:
        url: such as s3://bucket/seawall; empty: a folder.
        folder: the data folder.

    Raises:
        NotPossibleNow: CONFIG_INVALID, the URL cannot be used.
    """
    if not url:
        return FolderBlobs(folder)
    try:
        return ObjectBlobs(from_url(url))
    except (BaseError, ValueError) as error:
        raise NotPossibleNow(
            Reason.CONFIG_INVALID, f"blobs_url cannot be used ({type(error).__name__}): write it as s3://BUCKET/PREFIX, or leave it empty."
        ) from error


class FolderBlobs:
    """Blobs in a folder, laid out as in a mirror.

    Args:
        folder: with `blobs/` in it, made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def get(self, sha256: str) -> bytes | None:
        """Returns a blob as it is stored; None: it is not here."""
        return await asyncio.to_thread(_read, self._folder / blob_path(sha256))

    async def put(self, sha256: str, stored: bytes) -> None:
        """Keeps a blob; when this returns it is on the disk.

        Raises:
            Unavailable: STORE_UNAVAILABLE, the disk does not take it.
        """
        try:
            await asyncio.to_thread(_write, self._folder / blob_path(sha256), stored)
        except OSError as error:
            raise _away(f"the disk says: {error.strerror}") from error

    async def missing(self, digests: Sequence[str]) -> list[str]:
        """Returns those that are not here."""
        paths = {digest: self._folder / blob_path(digest) for digest in digests}
        return await asyncio.to_thread(lambda: [digest for digest, path in paths.items() if not path.is_file()])


class ObjectBlobs:
    """Blobs in an object store.

    Args:
        store: obstore's.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def get(self, sha256: str) -> bytes | None:
        """Returns a blob as it is stored; None: it is not here.

        Raises:
            Unavailable: STORE_UNAVAILABLE.
        """
        try:
            found = await obstore.get_async(self._store, blob_path(sha256))
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        except BaseError as error:
            raise _away(type(error).__name__) from error

    async def put(self, sha256: str, stored: bytes) -> None:
        """Keeps a blob.

        Raises:
            Unavailable: STORE_UNAVAILABLE.
        """
        try:
            await obstore.put_async(self._store, blob_path(sha256), stored)
        except BaseError as error:
            raise _away(type(error).__name__) from error

    async def missing(self, digests: Sequence[str]) -> list[str]:
        """Returns those that are not here.

        Raises:
            Unavailable: STORE_UNAVAILABLE.
        """
        turns = asyncio.Semaphore(LOOKS_AT_ONCE)

        async def is_missing(digest: str) -> bool:
            async with turns:
                try:
                    await obstore.head_async(self._store, blob_path(digest))
                except FileNotFoundError:
                    return True
                return False

        try:
            found = await asyncio.gather(*(is_missing(digest) for digest in digests))
        except BaseError as error:
            raise _away(type(error).__name__) from error
        return [digest for digest, gone in zip(digests, found, strict=True) if gone]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, content: bytes) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with fresh.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(path.parent)
    sync_folder(path.parent.parent)


def _away(why: str) -> Unavailable:
    return Unavailable(Reason.STORE_UNAVAILABLE, f"The blobs cannot be kept or read now: {why}. Make room, or look at blobs_url.")
