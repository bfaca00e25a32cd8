"""Publishes a version, away from the hub: verifies what is current from a trusted root, adds to it, signs it, sends it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from securesystemslib.signer import Signer
from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.api.metadata import Metadata, TargetFile, Targets
from tuf.ngclient import Updater

from contract.blobs import pack
from contract.errors import Conflict, InvalidRequest, NotPossibleNow, Reason, SeawallError, Superseded
from contract.release import Index
from models.chunks import Place
from models.destinations import METADATA_URL, TARGETS_URL, Destination
from models.progress import Progress
from models.staging import Staged
from models.trust import Lives


@dataclass(frozen=True, slots=True)
class Verified:
    """A role's current metadata, and what delegates to it; TUF has verified both from the root."""

    above: Metadata[Targets]
    metadata: Metadata[Targets]
    published: TargetFile | None

    def strength(self, role: str, metadata: Metadata[Any]) -> tuple[int, int]:
        """Returns how many good signatures metadata have, and how many are wanted."""
        result = self.above.signed.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
        return len(result.signed), result.threshold


def verify_current(destination: Destination, root: bytes, role: str, path: str) -> Verified:
    """Reads a role's metadata as an agent would.

    Args:
        destination: where they are.
        root: any root of the repository that is trusted.
        role: whose.
        path: of a target that may be there.

    Raises:
        NotPossibleNow: RELEASE_INVALID, what is there does not verify.
        SeawallError: as the destination says.
    """
    with TemporaryDirectory() as folder:
        try:
            updater = Updater(folder, METADATA_URL, folder, TARGETS_URL, destination.fetcher, bootstrap=root)
            updater.refresh()
            published = updater.get_targetinfo(path)
        except (RepositoryError, DownloadError) as error:
            if isinstance(error.__cause__, SeawallError):
                raise error.__cause__ from error
            raise NotPossibleNow(
                Reason.RELEASE_INVALID,
                f"What is published now does not verify from this root ({type(error).__name__}: {error}). "
                "Is it the right root? Was the trust imported? If a role has expired: seawall-models trust renew.",
            ) from error
        files = [Path(folder) / f"{name}.json" for name in ("targets", role)]
        if not files[1].exists():
            raise InvalidRequest(Reason.FIELD_INVALID, f"'{role[:40]}' is no role that the targets delegate to.")
        above, metadata = (Metadata[Targets].from_file(str(file)) for file in files)
    return Verified(above, metadata, published)


def sign_version(current: Verified, role: str, index: Index, signers: Sequence[Signer], lives: Lives, now: datetime) -> Staged | None:
    """Returns the role's next metadata with an index in them; None: exactly that is published already.

    Raises:
        Conflict: RELEASE_VERSION_CONFLICT, another content has this version.
        InvalidRequest: FIELD_INVALID, a key is none of the role's.
    """
    path, content = index.path(role), index.to_json()
    target = TargetFile.from_data(path, content, ["sha256"])
    if current.published is not None:
        if current.published.hashes == target.hashes:
            return None
        raise Conflict(Reason.RELEASE_VERSION_CONFLICT, f"{path} is published with another content. Give this one another --version.")
    known = ((current.above.signed.delegations.roles if current.above.signed.delegations else None) or {})[role].keyids
    wrong = [signer.public_key.keyid[:12] for signer in signers if signer.public_key.keyid not in known]
    if wrong:
        raise InvalidRequest(Reason.FIELD_INVALID, f"Key {wrong[0]} is none of {role}'s: {' '.join(key_id[:12] for key_id in known)}.")
    signed: Targets = Metadata[Targets].from_bytes(current.metadata.to_bytes()).signed
    signed.targets[path] = target
    signed.version += 1
    signed.expires = lives.end(role, now)
    metadata = Metadata(signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    return Staged(role, metadata, {path: content})


def send_blobs(destination: Destination, places: Mapping[str, Place], progress: Progress) -> int:
    """Sends the chunks that are not there yet. One that was cut off sends the rest the next time. Returns the bytes that were sent."""
    missing = destination.missing(list(places))
    sent_bytes = 0

    def packed() -> Iterator[tuple[str, bytes]]:
        nonlocal sent_bytes
        for digest in missing:
            stored = pack(places[digest].read())
            sent_bytes += len(stored)
            yield digest, stored

    kept = destination.upload(packed())
    for digest in progress.over("chunks", missing):
        if next(kept, None) != digest:
            raise NotPossibleNow(Reason.RELEASE_INVALID, f"Chunk {digest} was not kept. Run the same command again.")
    next(kept, None)
    return sent_bytes


def send_release(destination: Destination, root: bytes, staged: Staged) -> None:
    """Publishes what enough keys have signed.

    Raises:
        NotPossibleNow: RELEASE_INVALID, more keys must sign.
        Superseded: RELEASE_VERSION_CONFLICT, something else was published meanwhile.
        SeawallError: as the destination says.
    """
    path = next(iter(staged.targets), "")
    current = verify_current(destination, root, staged.role, path)
    is_there, next_version = current.metadata.signed.version, staged.metadata.signed.version
    if next_version != is_there + 1:
        raise Superseded(
            Reason.RELEASE_VERSION_CONFLICT,
            f"{staged.role} has version {is_there} there, and {next_version} is not the next: sign again what is to be published.",
        )
    have, want = current.strength(staged.role, staged.metadata)
    if have < want:
        raise NotPossibleNow(
            Reason.RELEASE_INVALID,
            f"{have} of {want} signatures are there. Write it with --stage FILE, add to it with seawall-models trust sign FILE, "
            "then publish it with --from FILE.",
        )
    destination.publish(staged.role, staged.metadata.to_bytes(), staged.targets)
