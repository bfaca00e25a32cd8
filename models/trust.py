"""The ceremony: makes, renews and signs the root, the targets, and the roles that they delegate to. It needs no network.

A folder holds `metadata/` (what is public, and is imported by the hub) and `keys/` (what is not). Nothing is done on metadata whose
signatures do not hold.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import Key, Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from contract.errors import Conflict, InvalidRequest, Reason
from contract.release import DELEGATED_ROLES, invalid_release

METADATA = "metadata"
KEYS = "keys"


@dataclass(frozen=True, slots=True)
class Strength:
    """How many keys a role has, and how many of them must sign."""

    keys: int
    threshold: int


STRENGTHS: Mapping[str, Strength] = {
    "root": Strength(3, 2),
    "targets": Strength(1, 1),
    "models": Strength(1, 1),
    "policies": Strength(1, 1),
    "rosters": Strength(1, 1),
    "agent-releases": Strength(2, 2),
}


@dataclass(frozen=True, slots=True)
class Lives:
    """How long signatures are good."""

    root: timedelta = timedelta(days=365)
    others: timedelta = timedelta(days=90)

    def end(self, role: str, now: datetime) -> datetime:
        """Returns when what is signed now expires."""
        return (now + (self.root if role == Root.type else self.others)).replace(microsecond=0)


CreateKey = Callable[[str], Signer]
"""Makes a key for a role, keeps it, and returns it."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What was signed last, of every role."""

    root: Metadata[Root]
    targets: Metadata[Targets]
    roles: Mapping[str, Metadata[Targets]]

    def of(self, role: str) -> Metadata[Any]:
        """Returns a role's metadata.

        Raises:
            InvalidRequest: FIELD_INVALID, there is no such role.
        """
        found: dict[str, Metadata[Any]] = {"root": self.root, "targets": self.targets, **self.roles}
        if role not in found:
            raise InvalidRequest(Reason.FIELD_INVALID, f"'{role[:40]}' is no role: {', '.join(found)} are.")
        return found[role]

    def above(self, role: str) -> Metadata[Any]:
        """Returns the metadata that name a role's keys."""
        return self.root if role in ("root", "targets") else self.targets

    def key_ids(self, role: str) -> list[str]:
        """Returns the ids of a role's keys."""
        self.of(role)
        return list(_role(self.above(role).signed, role).keyids)


def begin(strengths: Mapping[str, Strength], online: Sequence[Key], create: CreateKey, lives: Lives, now: datetime) -> Trust:
    """Makes the first version of everything, with new keys, and signs it.

    Args:
        strengths: of every role but the online ones.
        online: public keys of snapshot and timestamp; any one is enough.
        create: makes keys.
        lives: how long it is good.
        now: the time, in UTC.
    """
    signers = {role: [create(role) for _ in range(strength.keys)] for role, strength in strengths.items()}
    root = Root(expires=lives.end("root", now), consistent_snapshot=True)
    for role in (Root.type, Targets.type):
        _set_keys(root, role, [signer.public_key for signer in signers[role]], strengths[role].threshold)
    for role in (Snapshot.type, Timestamp.type):
        _set_keys(root, role, online, 1)
    targets = Targets(expires=lives.end("targets", now), delegations=Delegations({}, {}))
    for role in DELEGATED_ROLES:
        _delegate(targets, role, [signer.public_key for signer in signers[role]], strengths[role].threshold)
    return Trust(
        root=_signed(Metadata(root), signers["root"]),
        targets=_signed(Metadata(targets), signers["targets"]),
        roles={role: _signed(Metadata(Targets(expires=lives.end(role, now))), signers[role]) for role in DELEGATED_ROLES},
    )


def renew(trust: Trust, role: str, signers: Iterable[Signer], lives: Lives, now: datetime) -> dict[str, Metadata[Any]]:
    """Returns a role's next version, which is good for a whole life again."""
    return {role: _next(trust.of(role), role, signers, lives, now)}


def rotate(
    trust: Trust, role: str, signers: Sequence[Signer], fresh: Sequence[Signer], lives: Lives, now: datetime
) -> dict[str, Metadata[Any]]:
    """Gives a role new keys in place of all it had.

    Args:
        trust: as it stands.
        role: whose.
        signers: the old keys of the root, or those of what is above the role.
        fresh: the new keys.
        lives: how long it is good.
        now: the time, in UTC.

    Returns:
        the metadata that change: what is above the role, and the role's own under its new keys.
    """
    keys, above = [signer.public_key for signer in fresh], "root" if role in ("root", "targets") else "targets"
    changed = _copy(trust.above(role))
    old = _role(changed.signed, role)
    if role in ("root", "targets"):
        _set_keys(changed.signed, role, keys, old.threshold)
    else:
        _delegate(changed.signed, role, keys, old.threshold)
    if role == "root":
        return {"root": _next(changed, "root", [*signers, *fresh], lives, now)}
    return {above: _next(changed, above, signers, lives, now), role: _next(trust.of(role), role, fresh, lives, now)}


def replace_online(trust: Trust, online: Sequence[Key], signers: Iterable[Signer], lives: Lives, now: datetime) -> dict[str, Metadata[Any]]:
    """Names other online keys in the root."""
    changed = _copy(trust.root)
    for role in (Snapshot.type, Timestamp.type):
        _set_keys(changed.signed, role, online, 1)
    return {"root": _next(changed, "root", signers, lives, now)}


def signatures(trust: Trust, role: str, metadata: Metadata[Any]) -> tuple[int, int]:
    """Returns how many good signatures of a role's keys metadata have, and how many are wanted: of a root, by the stricter of two."""
    above: list[Any] = [trust.above(role).signed]
    if role == "root":
        above.append(metadata.signed)
    results = [signed.get_verification_result(role, metadata.signed_bytes, metadata.signatures) for signed in above]
    worst = min(results, key=lambda result: len(result.signed) - result.threshold)
    return len(worst.signed), worst.threshold


def load(folder: Path) -> Trust:
    """Reads the newest of everything, and verifies it.

    Raises:
        InvalidRequest: RELEASE_INVALID, something is missing, damaged, or not signed by those who must.
    """
    try:
        root = _load_root(folder)
        targets: Metadata[Targets] = Metadata.from_file(str(newest(folder, "targets")))
        root.signed.verify_delegate("targets", targets.signed_bytes, targets.signatures)
        delegated = targets.signed.delegations.roles if targets.signed.delegations else None
        roles = {}
        for role in sorted(delegated or {}):
            roles[role] = Metadata[Targets].from_file(str(newest(folder, role)))
            targets.signed.verify_delegate(role, roles[role].signed_bytes, roles[role].signatures)
    except (RepositoryError, DeserializationError, ValueError) as error:
        raise invalid_release(f"{folder / METADATA} does not hold together: {error}") from error
    return Trust(root, targets, roles)


def _load_root(folder: Path) -> Metadata[Root]:
    """Each root is vouched for by the one before."""
    last = int(newest(folder, "root").name.partition(".")[0])
    root: Metadata[Root] = Metadata.from_file(str(folder / METADATA / f"{last}.root.json"))
    root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
    before = folder / METADATA / f"{last - 1}.root.json"
    if before.exists():
        Metadata[Root].from_file(str(before)).signed.verify_delegate("root", root.signed_bytes, root.signatures)
    return root


def newest(folder: Path, role: str) -> Path:
    """Returns the file of a role's newest version.

    Raises:
        InvalidRequest: RELEASE_INVALID, there is none.
    """
    found = {int(path.name.partition(".")[0]): path for path in (folder / METADATA).glob(f"[0-9]*.{role}.json")}
    if not found:
        raise invalid_release(f"{folder / METADATA} holds no metadata of {role}; seawall-models trust init makes them")
    return found[max(found)]


def write(folder: Path, metadata: Mapping[str, Metadata[Any]]) -> list[Path]:
    """Writes metadata. Returns the files.

    Raises:
        Conflict: RELEASE_VERSION_CONFLICT, a version is there already.
    """
    (folder / METADATA).mkdir(parents=True, exist_ok=True)
    paths = {role: folder / METADATA / f"{item.signed.version}.{role}.json" for role, item in metadata.items()}
    there = [path for path in paths.values() if path.exists()]
    if there:
        raise Conflict(
            Reason.RELEASE_VERSION_CONFLICT, f"{there[0]} is there already: finish it with seawall-models trust sign, or delete it."
        )
    for role, path in paths.items():
        write_whole(path, metadata[role].to_bytes())
    return list(paths.values())


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, synced to the disk."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _next(metadata: Metadata[Any], role: str, signers: Iterable[Signer], lives: Lives, now: datetime) -> Metadata[Any]:
    changed = _copy(metadata)
    changed.signed.version += 1
    changed.signed.expires = lives.end(role, now)
    changed.signatures.clear()
    return _signed(changed, signers)


def _copy(metadata: Metadata[Any]) -> Metadata[Any]:
    return Metadata.from_bytes(metadata.to_bytes())


def _signed(metadata: Metadata[Any], signers: Iterable[Signer]) -> Metadata[Any]:
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata


def _role(signed: Root | Targets, role: str) -> Any:
    if isinstance(signed, Root):
        return signed.roles[role]
    if signed.delegations is None or signed.delegations.roles is None:
        raise invalid_release("its targets delegate to nobody")
    return signed.delegations.roles[role]


def _set_keys(root: Root, role: str, keys: Sequence[Key], threshold: int) -> None:
    for key_id in list(root.roles[role].keyids):
        root.revoke_key(key_id, role)
    for key in keys:
        root.add_key(key, role)
    root.roles[role].threshold = threshold


def _delegate(targets: Targets, role: str, keys: Sequence[Key], threshold: int) -> None:
    delegations = targets.delegations
    if delegations is None or delegations.roles is None:
        raise invalid_release("its targets delegate to nobody")
    for key_id in [] if role not in delegations.roles else list(delegations.roles[role].keyids):
        targets.revoke_key(key_id, role)
    delegations.roles[role] = DelegatedRole(role, [], threshold, terminating=True, paths=[f"{role}/*/versions/*"])
    for key in keys:
        targets.add_key(key, role)
