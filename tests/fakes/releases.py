"""A ceremony, a publisher and an agent's TUF, for tests of what is distributed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from securesystemslib.signer import CryptoSigner, Key, Signer
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Metadata, TargetFile
from tuf.ngclient import FetcherInterface, Updater

from contract.release import FORMAT_VERSION, Chunk, Index, IndexFile
from models import trust
from models.trust import STRENGTHS, Lives, Trust
from seawall.hub.v1 import release_pb2

LIVES = Lives()


@dataclass
class Ceremony:
    """All keys in one hand, and what they have signed."""

    trust: Trust
    signers: dict[str, list[Signer]] = field(default_factory=dict)

    @classmethod
    def held(cls, online: list[Key], now: datetime | None = None) -> "Ceremony":
        signers: dict[str, list[Signer]] = {}

        def create(role: str) -> Signer:
            signers.setdefault(role, []).append(CryptoSigner.generate_ecdsa())
            return signers[role][-1]

        return cls(trust.begin(STRENGTHS, online, create, LIVES, now or datetime.now(UTC)), signers)

    @property
    def root(self) -> bytes:
        return self.trust.root.to_bytes()

    def everything(self) -> dict[str, bytes]:
        """By role, in the order in which a hub takes them."""
        return {role: self.trust.of(role).to_bytes() for role in ("root", "targets", *self.trust.roles)}

    def next(self, role: str, targets: Mapping[str, bytes], *, signers: list[Signer] | None = None, now: datetime | None = None) -> bytes:
        """A role's next metadata, with these targets beside those that it has."""
        metadata: Metadata[Any] = Metadata.from_bytes(self.trust.of(role).to_bytes())
        metadata.signatures.clear()
        metadata.signed.version += 1
        metadata.signed.expires = LIVES.end(role, now or datetime.now(UTC))
        for path, content in targets.items():
            metadata.signed.targets[path] = TargetFile.from_data(path, content, ["sha256"])
        for signer in self.signers[role] if signers is None else signers:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()


def index_of(content: bytes, sha256: str, model: str = "tiny", version: str = "1.0.0") -> Index:
    """An index of one file of one chunk."""
    chunk = Chunk(sha256, len(content))
    return Index(FORMAT_VERSION, model, version, (IndexFile("weights", sha256, len(content), (chunk,)),))


class StubFetcher(FetcherInterface):
    """Reads the hub as an agent does."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    def _fetch(self, url: str) -> Iterator[bytes]:
        folder, _, name = url.partition("/")
        try:
            if folder == "metadata":
                return iter([self._stub.GetMetadata(release_pb2.GetMetadataRequest(name=name)).content])
            return iter([self._stub.GetTarget(release_pb2.GetTargetRequest(path=name)).content])
        except grpc.RpcError as error:
            raise DownloadHTTPError(url, 404) from error


def updater(folder: Path, root: bytes, fetcher: FetcherInterface) -> Updater:
    """An agent that trusts a root, and has seen nothing else."""
    (folder / "targets").mkdir(parents=True, exist_ok=True)
    return Updater(str(folder), "metadata/", str(folder / "targets"), "targets/", fetcher, bootstrap=root)
