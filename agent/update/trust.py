"""What may be believed: python-tuf's client, with our sources, our clock, and metadata that survives a power cut."""

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError, ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from agent.identity.files import sync_folder
from agent.update.clock_floor import ClockFloor
from agent.update.sources import Source
from contract.errors import InvalidRequest, NotFound, NotPossibleNow, Reason, SeawallError, Unavailable
from contract.release import Index, target_path, versions_of

_METADATA, _TARGETS = "metadata/", "targets/"
_ONLINE_ROLES = {Timestamp.type, Snapshot.type}
F = TypeVar("F")
T = TypeVar("T")

_LONGEST_SECONDS = 600.0
"""For one file, whatever the source says of itself."""


@dataclass(frozen=True, slots=True)
class TrustSettings:
    """How stale trust may be.

    Args:
        stale_seconds: for how long after its expiry a timestamp that was carried here in a folder still brings new targets. The
            hub and mirrors are given none of it: they can have a fresh one. Root and targets are never taken expired.
    """

    stale_seconds: float = 7 * 24 * 3600.0


class Trust:
    """Verifies what sources offer, from a trusted root on.

    Args:
        folder: where verified metadata is kept; made where it is missing.
        root: the first trusted root, from enrolment or the configuration.
        clock: with the floor.
        settings: how stale trust may be.
    """

    def __init__(self, folder: Path, root: bytes, clock: ClockFloor, settings: TrustSettings | None = None) -> None:
        self._folder = folder
        self._root = root
        self._clock = clock
        self._settings = settings or TrustSettings()
        self._one_at_a_time = asyncio.Lock()

    async def refresh(self, source: Source) -> None:
        """Brings the top-level metadata up to date.

        Raises:
            SeawallError: as `targets` says.
        """
        await self.targets(source, ())

    async def index(self, source: Source, role: str, name: str, version: str) -> Index:
        """Returns the verified index of a version.

        Args:
            source: to ask.
            role: that signs it, such as `models`.
            name: of the model.
            version: of it.

        Raises:
            SeawallError: as `targets` says.
        """
        path = target_path(role, name, version)
        (content,) = await self.targets(source, (path,))
        index = Index.from_json(content)
        if index.path(role) != path:
            raise InvalidRequest(Reason.RELEASE_INVALID, f"{path} is signed, but speaks of {index.path(role)}: publish it again.")
        return index

    async def targets(self, source: Source, paths: tuple[str, ...]) -> tuple[bytes, ...]:
        """Returns the verified bytes of targets, having brought the metadata up to date.

        Args:
            source: to ask.
            paths: as in the metadata.

        Raises:
            NotFound: RELEASE_NOT_FOUND, nobody signed such a target.
            InvalidRequest: RELEASE_INVALID, what is offered does not verify.
            NotPossibleNow: RELEASE_EXPIRED, what is offered is too old; DISK_FULL, it cannot be kept.
            Unavailable: RELEASE_UNAVAILABLE, the source does not deliver.
        """

        def find(updater: Updater) -> list[TargetFile]:
            return [_found(updater, path) for path in paths]

        def take(updater: Updater, found: list[TargetFile]) -> tuple[bytes, ...]:
            return _contents(updater, found, self._folder)

        return await self._verified(source, find, take)

    async def versions(self, source: Source, role: str, name: str) -> tuple[str, ...]:
        """Returns the versions that a role has signed of something, having brought the metadata up to date.

        Args:
            source: to ask.
            role: that signs them, such as `models`.
            name: of the model.

        Raises:
            SeawallError: as `targets` says.
        """
        return await self._verified(source, lambda updater: _signed_versions(updater, role, name), lambda _, versions: versions)

    async def _verified(self, source: Source, find: Callable[[Updater], F], take: Callable[[Updater, F], T]) -> T:
        """Returns what `take` makes of what `find` has found in metadata that is up to date, verified and synced."""
        loop = asyncio.get_running_loop()
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._take, source, find, take, loop)

    def _take(self, source: Source, find: Callable[[Updater], F], take: Callable[[Updater, F], T], loop: asyncio.AbstractEventLoop) -> T:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            now = self._clock.now()
            grace = timedelta(seconds=self._settings.stale_seconds if source.offline else 0)
            updater = _updater(self._folder, self._root, _Fetcher(source, loop), now - grace)
            try:
                updater.refresh()
                found = find(updater)
            finally:
                _sync(self._folder)
            _check_expiry(updater, now)
            taken = take(updater, found)
            self._clock.raise_to(now)
        except ExpiredMetadataError as error:
            raise NotPossibleNow(Reason.RELEASE_EXPIRED, _expired(source, error)) from error
        except RepositoryError as error:
            message = f"What {source.name} offers is not trusted: {str(error)[:300]}. What runs goes on running."
            raise InvalidRequest(Reason.RELEASE_INVALID, message) from error
        except DownloadError as error:
            raise _source_error(source, error) from error
        except OSError as error:
            message = f"The metadata in {self._folder} cannot be kept ({error.strerror}): make room, or let it be written to."
            raise NotPossibleNow(Reason.DISK_FULL, message) from error
        return taken


class _Fetcher(FetcherInterface):
    """python-tuf asks from its thread; the source answers on the loop."""

    def __init__(self, source: Source, loop: asyncio.AbstractEventLoop) -> None:
        self._source = source
        self._loop = loop

    def _fetch(self, url: str) -> Iterator[bytes]:
        asked = self._source.metadata(url.removeprefix(_METADATA)) if url.startswith(_METADATA) else self._target(url)
        answer = asyncio.run_coroutine_threadsafe(asyncio.wait_for(asked, _LONGEST_SECONDS), self._loop)
        try:
            return iter((answer.result(),))
        except NotFound as error:
            raise DownloadHTTPError(error.message, 404) from error

    async def _target(self, url: str) -> bytes:
        return await self._source.target(url.removeprefix(_TARGETS))


def _updater(folder: Path, root: bytes, fetcher: FetcherInterface, now: datetime) -> Updater:
    """Returns python-tuf's client with our time. It reads the clock once, when it is made, and compares with that when it is asked."""
    updater = Updater(str(folder), _METADATA, str(folder / "targets"), _TARGETS, fetcher, bootstrap=root)
    updater._trusted_set.reference_time = now
    return updater


def _check_expiry(updater: Updater, now: datetime) -> None:
    """The grace is for the roles that only say what is newest, not for those that say what is good."""
    for signed in updater._trusted_set:
        if signed.type not in _ONLINE_ROLES and signed.is_expired(now):
            raise ExpiredMetadataError(f"{signed.type} is expired")


def _found(updater: Updater, path: str) -> TargetFile:
    target = updater.get_targetinfo(path)
    if target is None:
        raise NotFound(Reason.RELEASE_NOT_FOUND, f"Nobody signed {path[:200]}: publish it, or name another version.")
    return target


def _signed_versions(updater: Updater, role: str, name: str) -> tuple[str, ...]:
    """Lists the targets of the role that answers for a model. python-tuf loads it when a target of its folder is asked for."""
    updater.get_targetinfo(target_path(role, name, "any"))
    try:
        signed = updater._trusted_set[role]
    except KeyError:
        raise NotFound(Reason.RELEASE_NOT_FOUND, f"Nobody signs {role} here: the operator names who does, in the targets.") from None
    if not isinstance(signed, Targets):
        return ()
    return versions_of(signed.targets, role, name)


def _contents(updater: Updater, targets: list[TargetFile], folder: Path) -> tuple[bytes, ...]:
    """Returns the verified bytes of targets. Those that were asked for last are kept, and not fetched again."""
    files = [Path(updater.find_cached_target(target) or updater.download_target(target)) for target in targets]
    contents = tuple(file.read_bytes() for file in files)
    for target, content in zip(targets, contents, strict=True):
        target.verify_length_and_hashes(content)  # what is returned, not what was on the disk a moment ago
    if files:
        for file in set((folder / "targets").iterdir()) - set(files):
            file.unlink()
    return contents


def _sync(folder: Path) -> None:
    """Makes the verified metadata durable: what was seen must still be known after a power cut, or an old state could be sold again."""
    history = folder / "root_history"
    for path in (*folder.glob("*.json"), *history.glob("*.json")):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    for part in (folder, history):
        if part.is_dir():
            sync_folder(part)


def _expired(source: Source, error: ExpiredMetadataError) -> str:
    what = f"What {source.name} offers is too old ({str(error)[:200]}): nothing new is installed, what runs goes on running."
    return f"{what} Bring a newer copy, or look that the clock is right."


def _source_error(source: Source, error: DownloadError) -> SeawallError:
    cause = error.__cause__
    if isinstance(cause, SeawallError):
        return cause
    if isinstance(error, DownloadLengthMismatchError):
        return InvalidRequest(Reason.RELEASE_INVALID, f"{source.name} sends more than may be ({error}): publish it again.")
    return Unavailable(
        Reason.RELEASE_UNAVAILABLE,
        f"{source.name} does not deliver the update ({str(error)[:200]}): look at the link, then try again. What came is kept.",
    )
