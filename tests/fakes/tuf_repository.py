"""A TUF repository in memory, with real keys: tests sign what they like with it, also what no honest publisher would."""

import hashlib
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from agent.update.sources import PIECE_BYTES, missing, refuse
from contract.blobs import pack
from contract.pieces import Piece
from contract.release import FORMAT_VERSION, Chunk, Index, IndexFile, consistent_path

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ONLINE = ("timestamp", "snapshot")
TOP = ("root", "targets", *ONLINE)


class FakeRepository:
    """Root 1 of 1 unless told otherwise; `models`, or the role that is named in its place, signed by two keys. Change what you like, then
    `publish`."""

    def __init__(self, now: datetime = NOW, models_threshold: int = 2, role: str = "models") -> None:
        self.now = now
        self.role = role
        self.keys: dict[str, list[CryptoSigner]] = {role: [CryptoSigner.generate_ed25519()] for role in TOP}
        self.keys[role] = [CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()]
        self.root = Root(expires=now + timedelta(days=365), consistent_snapshot=True)
        for top in TOP:
            self.root.add_key(self.keys[top][0].public_key, top)
        self.models = Targets(expires=now + timedelta(days=90))
        self.targets = Targets(expires=now + timedelta(days=90))
        delegated = DelegatedRole(role, [], models_threshold, True, paths=[f"{role}/*/versions/*"])
        self.targets.delegations = Delegations({}, {role: delegated})
        for signer in self.keys[role]:
            self.targets.add_key(signer.public_key, role)
        self.snapshot = Snapshot(expires=now + timedelta(days=1), meta={"targets.json": MetaFile(1), f"{role}.json": MetaFile(1)})
        self.timestamp = Timestamp(expires=now + timedelta(hours=1))
        self.metadata: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.sign("root")
        for name in ("targets", role, "snapshot", "timestamp"):
            self.sign(name)

    @property
    def trusted_root(self) -> bytes:
        return self.metadata["1.root.json"]

    def sign(self, name: str, signers: Sequence[CryptoSigner] | None = None) -> bytes:
        """Signs a role as it is and puts it where it is asked for."""
        signed: Any = getattr(self, "models" if name == self.role else name)
        envelope = Metadata(signed)
        for signer in self.keys[name] if signers is None else signers:
            envelope.sign(signer, append=True)
        content = envelope.to_bytes()
        self.metadata["timestamp.json" if name == "timestamp" else f"{signed.version}.{name}.json"] = content
        return content

    def add(self, index: Index, blobs: dict[str, bytes] | None = None) -> str:
        """Has the role name an index; not published yet. Returns its path."""
        path, content = index.path(self.role), index.to_json()
        self.add_file(path, content)
        self.blobs.update(blobs or {})
        return path

    def add_file(self, path: str, content: bytes) -> None:
        self.models.targets[path] = TargetFile.from_data(path, content, ["sha256"])
        self.files[consistent_path(path, hashlib.sha256(content).hexdigest())] = content

    def publish(self, models_signers: Sequence[CryptoSigner] | None = None) -> None:
        """Makes the next version of everything but root and targets."""
        self.models.version += 1
        self.sign(self.role, models_signers)
        self.snapshot.meta[f"{self.role}.json"] = MetaFile(self.models.version)
        self.snapshot.version += 1
        self.sign("snapshot")
        self.tick()

    def tick(self) -> None:
        """Makes the next timestamp, of the snapshot there is."""
        self.timestamp.snapshot_meta = MetaFile(self.snapshot.version)
        self.timestamp.version += 1
        self.timestamp.expires = max(self.timestamp.expires, self.now + timedelta(hours=1))
        self.sign("timestamp")


class FakeSource:
    """Offers a repository, honestly unless `metadata`, `files` or `blobs` of it were changed. Counts what it is asked for."""

    offline = False
    streams = 8
    name = "the source"

    def __init__(self, repository: FakeRepository) -> None:
        self.repository = repository
        self.asked: list[str] = []
        self.sent_bytes = 0

    async def metadata(self, name: str) -> bytes:
        self.asked.append(name)
        return _of(self.repository.metadata, name)

    async def target(self, path: str) -> bytes:
        self.asked.append(path)
        return _of(self.repository.files, path)

    async def blobs(self, digests: Sequence[str], first_offset: int) -> AsyncGenerator[Piece, None]:
        for number, digest in enumerate(digests):
            offset = first_offset if number == 0 else 0
            stored = _of(self.repository.blobs, digest)
            self.asked.append(digest)
            if offset >= len(stored):
                refuse(self.name, "it has less of the file than is here already")
            for begin in range(offset, len(stored), PIECE_BYTES):
                data = stored[begin : begin + PIECE_BYTES]
                self.sent_bytes += len(data)
                yield Piece(digest, begin, len(stored), data)


class FolderLike(FakeSource):
    """The same, carried here."""

    offline = True


def _of(content: dict[str, bytes], name: str) -> bytes:
    if name not in content:
        raise missing("the source", name)
    return content[name]


def version_of(files: dict[str, list[bytes]], version: str = "1.0.0", model: str = "tiny") -> tuple[Index, dict[str, bytes]]:
    """Returns the index of files, each given as its chunks, and the blobs."""
    listed: list[IndexFile] = []
    blobs: dict[str, bytes] = {}
    for name, pieces in sorted(files.items()):
        chunks = tuple(Chunk(hashlib.sha256(piece).hexdigest(), len(piece)) for piece in pieces)
        blobs |= {chunk.sha256: pack(piece) for chunk, piece in zip(chunks, pieces, strict=True)}
        whole = b"".join(pieces)
        listed.append(IndexFile(name, hashlib.sha256(whole).hexdigest(), len(whole), chunks))
    return Index(FORMAT_VERSION, model, version, tuple(listed)), blobs
