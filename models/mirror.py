"""Snapshot and timestamp of a folder that no hub keeps: signed by an online key of the ceremony's, again and again."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from securesystemslib.signer import Signer
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

from contract.errors import InvalidRequest, Reason
from models import trust
from models.trust import METADATA, write_whole

TIMESTAMP_FILE = "timestamp.json"


@dataclass(frozen=True, slots=True)
class OnlineSigner:
    """The key, and how long what it signs is good.

    Args:
        signer: of a key that the root names for snapshot and timestamp.
        life: of both.
        now: the time, in UTC.
    """

    signer: Signer
    life: timedelta
    now: datetime


def sign(folder: Path, online: OnlineSigner) -> int:
    """Makes a snapshot and a timestamp of what is in a folder. Returns the snapshot's version.

    Raises:
        InvalidRequest: RELEASE_INVALID, the folder does not hold together; FIELD_INVALID, the root does not name the key.
    """
    found = trust.load(folder)
    key_id = online.signer.public_key.keyid
    if any(key_id not in found.root.signed.roles[kind.type].keyids for kind in (Snapshot, Timestamp)):
        raise InvalidRequest(Reason.FIELD_INVALID, f"The root does not name the online key {key_id[:12]}: give the one of this ceremony.")
    meta = {f"{role}.json": MetaFile(item.signed.version) for role, item in {"targets": found.targets, **found.roles}.items()}
    end = (online.now + online.life).replace(microsecond=0)
    version = max((int(path.name.partition(".")[0]) for path in (folder / METADATA).glob("[0-9]*.snapshot.json")), default=0) + 1
    snapshot = Metadata(Snapshot(version=version, expires=end, meta=meta))
    snapshot.sign(online.signer)
    timestamp_path = folder / METADATA / TIMESTAMP_FILE
    before = Metadata[Timestamp].from_file(str(timestamp_path)).signed.version if timestamp_path.exists() else 0
    timestamp = Metadata(Timestamp(version=before + 1, expires=end, snapshot_meta=MetaFile(version)))
    timestamp.sign(online.signer)
    write_whole(folder / METADATA / f"{version}.snapshot.json", snapshot.to_bytes())
    write_whole(timestamp_path, timestamp.to_bytes())
    return version
