"""TUF metadata as the store has it, read anew for each piece of work: no process believes what it remembers."""

from dataclasses import dataclass, replace
from typing import Any, Self

from sqlalchemy import Connection
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from contract.release import invalid_release
from hub.store import releases

MAX_METADATA_BYTES = 3 * 1024 * 1024
"""Of one role; it must fit into a message, with the targets that are new in it."""


@dataclass(frozen=True, slots=True)
class Current:
    """The newest of every role. None: it was not imported or made yet."""

    root: Metadata[Root] | None = None
    targets: Metadata[Targets] | None = None
    roles: tuple[tuple[str, Metadata[Targets]], ...] = ()
    snapshot: Metadata[Snapshot] | None = None
    timestamp: Metadata[Timestamp] | None = None

    @classmethod
    def read(cls, connection: Connection) -> Self:
        """Reads all of it."""
        timestamp = releases.get_metadata(connection, releases.TIMESTAMP)
        current = cls(
            root=_newest(connection, Root.type),
            targets=_newest(connection, Targets.type),
            snapshot=_newest(connection, Snapshot.type),
            timestamp=None if timestamp is None else Metadata.from_bytes(timestamp),
        )
        found = ((name, _newest(connection, name)) for name in current.delegated())
        return replace(current, roles=tuple((name, metadata) for name, metadata in found if metadata is not None))

    def delegated(self) -> list[str]:
        """Returns the roles that targets delegate to."""
        delegations = None if self.targets is None else self.targets.signed.delegations
        return [] if delegations is None else sorted(delegations.roles or {})

    def of(self, role: str) -> Metadata[Targets] | None:
        """Returns the metadata of targets, or of a role that they delegate to."""
        return self.targets if role == Targets.type else dict(self.roles).get(role)

    def fits(self) -> bool:
        """Says whether all that must be there is, each signed as what is above it wants: whether agents may be shown it."""
        if self.root is None or self.targets is None or set(dict(self.roles)) != set(self.delegated()):
            return False
        try:
            verify(self.root.signed, Targets.type, self.targets)
            for name, metadata in self.roles:
                verify(self.targets.signed, name, metadata)
        except RepositoryError:
            return False
        return True


def verify(above: Root | Targets, role: str, metadata: Metadata[Any]) -> None:
    """Checks that enough of a role's keys have signed.

    Raises:
        RepositoryError: UnsignedMetadataError, they have not.
    """
    try:
        above.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except ValueError as error:
        raise UnsignedMetadataError(f"nobody delegates to {role}") from error


def parse(content: bytes, kind: type[Root] | type[Targets]) -> Metadata[Any]:
    """Reads metadata that somebody has sent.

    Raises:
        InvalidRequest: RELEASE_INVALID.
    """
    if len(content) > MAX_METADATA_BYTES:
        raise invalid_release(f"the metadata has {len(content)} bytes, at most {MAX_METADATA_BYTES} are read")
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(content)
    except (DeserializationError, RecursionError) as error:
        raise invalid_release("its metadata cannot be read") from error
    if not isinstance(metadata.signed, kind):
        raise invalid_release(f"its metadata are of type {metadata.signed.type}, those of {kind.type} are wanted")
    return metadata


def _newest(connection: Connection, role: str) -> Metadata[Any] | None:
    version = releases.newest_version(connection, role)
    content = releases.get_metadata(connection, f"{version}.{role}.json")
    return None if content is None else Metadata.from_bytes(content)
