"""What may become current: metadata that enough of a role's keys have signed, of the version that comes next, with all its bytes here.

Agents check all of this again. It is checked here so that a mistake is refused to the one who made it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from tuf.api.exceptions import LengthOrHashMismatchError, RepositoryError
from tuf.api.metadata import Metadata, Root, TargetFile, Targets

from contract.errors import NotPermitted, NotPossibleNow, Reason, Superseded
from contract.release import Index, consistent_path, invalid_release
from hub.clock import Clock
from hub.fleet.events import Journal
from hub.release.blobs import Blobs
from hub.release.metadata import Current, parse, verify
from hub.release.repository import Repository
from hub.store import releases
from hub.store.events import NewEvent

SHA256 = "sha256"


@dataclass(frozen=True, slots=True)
class Published:
    """What is current afterwards."""

    version: int
    snapshot_version: int


class Publishing:
    """Takes new metadata.

    Args:
        journal: of what happens; with it goes the database.
        repository: signs what follows.
        blobs: where chunks are.
        clock: the time, in UTC.
    """

    def __init__(self, journal: Journal, repository: Repository, blobs: Blobs, clock: Clock) -> None:
        self._journal = journal
        self._repository = repository
        self._blobs = blobs
        self._clock = clock

    async def publish(self, role: str, content: bytes, targets: Mapping[str, bytes], actor: str, *, may_begin: bool) -> Published:
        """Verifies a role's metadata and makes them current.

        Args:
            role: whose they are.
            content: the metadata.
            targets: the files that are new in them, by path.
            actor: a SPIFFE id, for the journal.
            may_begin: whether the first root is taken from this caller.

        Raises:
            InvalidRequest: RELEASE_INVALID.
            Superseded: RELEASE_VERSION_CONFLICT.
            NotPossibleNow: RELEASE_INVALID, what signs for the role is not here.
            NotPermitted: ROLE_NOT_ALLOWED, the first root.
            Unavailable: HUB_UNAVAILABLE or STORE_UNAVAILABLE.
        """
        metadata = parse(content, Root if role == Root.type else Targets)
        indices = [] if role == Root.type else _indices(role, metadata, targets)
        await self._require_chunks(indices)

        def work(connection: Connection) -> tuple[Published, Sequence[NewEvent]]:
            current, name = Current.read(connection), f"{metadata.signed.version}.{role}.json"
            if releases.get_metadata(connection, name) == content and _version(current, role) == metadata.signed.version:
                return Published(metadata.signed.version, 0 if current.snapshot is None else current.snapshot.signed.version), []
            self._check(current, role, metadata, may_begin)
            if role != Root.type:
                self._keep_targets(connection, metadata, targets)
            releases.put_metadata(connection, name, content, self._clock())
            published = Published(metadata.signed.version, self._repository.sign(connection))
            return published, [_event(role, metadata.signed.version, indices, actor, self._clock())]

        return await self._journal.write(work)

    def _check(self, current: Current, role: str, metadata: Metadata[Any], may_begin: bool) -> None:
        if role == Root.type:
            self._check_root(current, metadata, may_begin)
            return
        if metadata.signed.is_expired(self._clock()):
            raise invalid_release(f"its {role} metadata have expired; sign them anew")
        above: Root | Targets | None = _above(current, role)
        if above is None:
            raise NotPossibleNow(
                Reason.RELEASE_INVALID,
                f"What signs for {role[:40]} is not here yet. First: seawall-hub trust import FOLDER (of the ceremony).",
            )
        _verified(above, role, metadata)
        _check_next(_version(current, role), metadata.signed.version, role)
        if role == Targets.type and metadata.signed.targets:
            raise invalid_release("the role targets delegates and has no targets of its own")

    def _check_root(self, current: Current, metadata: Metadata[Root], may_begin: bool) -> None:
        """A root between the first and the newest may have expired, and may name the online key of an earlier hub."""
        if current.root is None and not may_begin:
            raise NotPermitted(Reason.ROLE_NOT_ALLOWED, "The first root is imported by an operator: seawall-hub trust import FOLDER.")
        _check_next(_version(current, Root.type), metadata.signed.version, Root.type)
        if current.root is not None:
            _verified(current.root.signed, Root.type, metadata)
        _verified(metadata.signed, Root.type, metadata)
        if not metadata.signed.consistent_snapshot:
            raise invalid_release("its root is not for consistent snapshots")
        if self._repository.can_sign(current) and not self._repository.can_sign(Current(root=metadata)):
            raise invalid_release("its root does not name this hub's online key, alone sufficient; seawall-hub trust request prints it")

    def _keep_targets(self, connection: Connection, metadata: Metadata[Targets], targets: Mapping[str, bytes]) -> None:
        for path, target in metadata.signed.targets.items():
            consistent = consistent_path(path, target.hashes[SHA256])
            if path in targets:
                releases.put_target(connection, consistent, targets[path], self._clock())
            elif releases.get_target(connection, consistent) is None:
                raise invalid_release(f"the file of {path} is neither here nor in the request")

    async def _require_chunks(self, indices: Sequence[Index]) -> None:
        digests = list(dict.fromkeys(digest for index in indices for digest in index.chunks()))
        missing = await self._blobs.missing(digests)
        if missing:
            raise invalid_release(f"{len(missing)} of its {len(digests)} chunks are not here, such as {missing[0]}")


def _indices(role: str, metadata: Metadata[Targets], targets: Mapping[str, bytes]) -> list[Index]:
    """Reads the files that came along, each of which must be as the metadata say, and an index of what its path says."""
    unknown = sorted(set(targets) - set(metadata.signed.targets))
    if unknown:
        raise invalid_release(f"its metadata do not name {unknown[0][:160]}")
    for path, target in metadata.signed.targets.items():
        if set(target.hashes) != {SHA256}:
            raise invalid_release(f"{path[:160]} is named by other digests than SHA-256")
    return [_index(role, path, content, metadata.signed.targets[path]) for path, content in targets.items()]


def _index(role: str, path: str, content: bytes, target: TargetFile) -> Index:
    try:
        target.verify_length_and_hashes(content)
    except LengthOrHashMismatchError as error:
        raise invalid_release(f"the file of {path[:160]} is not the one that was signed") from error
    index = Index.from_json(content)
    if index.path(role) != path:
        raise invalid_release(f"{path[:160]} is an index of {index.path(role)}")
    return index


def _above(current: Current, role: str) -> Any:
    if role == Targets.type:
        return None if current.root is None else current.root.signed
    return None if current.targets is None or role not in current.delegated() else current.targets.signed


def _verified(above: Root | Targets, role: str, metadata: Metadata[Any]) -> None:
    try:
        verify(above, role, metadata)
    except RepositoryError as error:
        raise invalid_release(f"too few of the keys of {role} have signed it") from error
    if isinstance(above, Targets) and above.delegations is not None and above.delegations.roles is not None:
        foreign = [path for path in metadata.signed.targets if not above.delegations.roles[role].is_delegated_path(path)]
        if foreign:
            raise invalid_release(f"{foreign[0][:160]} is not {role}'s to sign")


def _version(current: Current, role: str) -> int:
    metadata = current.root if role == Root.type else current.of(role)
    return 0 if metadata is None else metadata.signed.version


def _check_next(old: int, new: int, role: str) -> None:
    """Of roots, each must come. Of the rest, the newest is enough: keys that changed since may no longer vouch for what was between."""
    if new != old + 1 and (role == Root.type or new <= old):
        raise Superseded(
            Reason.RELEASE_VERSION_CONFLICT,
            f"{role} has version {old} here, and {new} cannot follow it. Read what is current, then sign again.",
        )


def _event(role: str, version: int, indices: Sequence[Index], actor: str, now: datetime) -> NewEvent:
    named = ", ".join(f"{index.model} {index.version}" for index in indices[:10])
    return NewEvent(now, "RELEASE_PUBLISHED", f"releases/{role}", actor, f"{role} version {version}{': ' + named if named else ''}")
