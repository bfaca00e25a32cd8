"""Where releases are published to: a hub, or a folder that a web server or a USB stick carries."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import grpc
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Metadata, Targets
from tuf.ngclient import FetcherInterface

from agent.hub_channel import CHANNEL_OPTIONS, hub_reason
from contract.errors import InvalidRequest, NotPermitted, NotPossibleNow, Reason, SeawallError, Superseded, Unavailable
from contract.release import blob_path, consistent_path
from models import mirror
from models.mirror import OnlineSigner
from models.trust import METADATA, write_whole
from seawall.hub.v1 import release_pb2, release_pb2_grpc

METADATA_URL = "metadata/"
TARGETS_URL = "targets/"
CALL_SECONDS = 60
_NOT_FOUND = 404


class Destination(Protocol):
    """What a publisher reads from and writes to."""

    @property
    def fetcher(self) -> FetcherInterface:
        """Reads `metadata/…`, for TUF."""
        ...

    def missing(self, digests: Sequence[str]) -> list[str]:
        """Returns the blobs that are not there yet."""
        ...

    def upload(self, blobs: Iterable[tuple[str, bytes]]) -> Iterator[str]:
        """Keeps blobs; yields the digest of each that is kept."""
        ...

    def publish(self, role: str, content: bytes, targets: Mapping[str, bytes]) -> None:
        """Makes a role's metadata current."""
        ...


class Hub:
    """A hub.

    Args:
        address: `host:port` of its mTLS listener.
        identity: the folder that `seawall-hub trust publisher` has made.
    """

    def __init__(self, address: str, identity: Path) -> None:
        self._address = address
        files = [(identity / name).read_bytes() for name in ("ca.crt", "publisher.key", "publisher.crt")]
        self._channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(*files), options=CHANNEL_OPTIONS)
        self._releases: Any = release_pb2_grpc.ReleaseServiceStub(self._channel)
        self._publisher: Any = release_pb2_grpc.PublisherServiceStub(self._channel)

    def close(self) -> None:
        """Hangs up."""
        self._channel.close()

    @property
    def fetcher(self) -> FetcherInterface:
        """Reads what the hub serves."""
        return _Fetcher(self._read)

    def missing(self, digests: Sequence[str]) -> list[str]:
        """Returns the blobs that are not there yet."""
        request = release_pb2.ListMissingBlobsRequest(digests=digests)
        try:
            return list(self._publisher.ListMissingBlobs(request, timeout=CALL_SECONDS).digests)
        except grpc.RpcError as error:
            raise self._refusal(error) from error

    def upload(self, blobs: Iterable[tuple[str, bytes]]) -> Iterator[str]:
        """Sends blobs; yields the digest of each that is kept."""
        requests = (release_pb2.UploadBlobsRequest(digest=digest, stored=stored) for digest, stored in blobs)
        try:
            for response in self._publisher.UploadBlobs(requests):
                yield response.digest
        except grpc.RpcError as error:
            raise self._refusal(error) from error

    def publish(self, role: str, content: bytes, targets: Mapping[str, bytes]) -> None:
        """Makes a role's metadata current."""
        sent = [release_pb2.NewTarget(path=path, content=text) for path, text in targets.items()]
        request = release_pb2.PublishMetadataRequest(role=role, content=content, targets=sent)
        try:
            self._publisher.PublishMetadata(request, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            raise self._refusal(error) from error

    def _read(self, url: str) -> bytes | None:
        try:
            request = release_pb2.GetMetadataRequest(name=url.removeprefix(METADATA_URL))
            return bytes(self._releases.GetMetadata(request, timeout=CALL_SECONDS).content)
        except grpc.RpcError as error:
            if hub_reason(error) is Reason.RELEASE_NOT_FOUND:
                return None
            raise self._refusal(error) from error

    def _refusal(self, error: grpc.RpcError) -> SeawallError:
        """Returns our error, of the kind that the hub's was."""
        reason, call = hub_reason(error), cast(grpc.Call, error)
        if reason is None or call.code() is grpc.StatusCode.UNAVAILABLE:
            why = f"No hub answers on {self._address}, or it refuses this certificate ({call.code().name})."
            return Unavailable(reason or Reason.HUB_UNAVAILABLE, f"{why} What was sent is kept: run the same command again.")
        kinds = {kind.grpc_code: kind for kind in (InvalidRequest, NotPermitted, NotPossibleNow, Superseded)}
        return kinds.get(call.code().name, SeawallError)(reason, str(call.details()))


class Folder:
    """A folder, laid out as agents read it from a web server or a USB stick.

    Args:
        folder: with the ceremony's `metadata/` in it.
        online: signs its snapshot and timestamp.
    """

    def __init__(self, folder: Path, online: OnlineSigner) -> None:
        self._folder = folder
        self._online = online
        mirror.sign(folder, online)

    @property
    def fetcher(self) -> FetcherInterface:
        """Reads the folder."""
        return _Fetcher(self._read)

    def missing(self, digests: Sequence[str]) -> list[str]:
        """Returns the blobs that are not there yet."""
        return [digest for digest in digests if not (self._folder / blob_path(digest)).is_file()]

    def upload(self, blobs: Iterable[tuple[str, bytes]]) -> Iterator[str]:
        """Writes blobs."""
        for digest, stored in blobs:
            _put(self._folder / blob_path(digest), stored)
            yield digest

    def publish(self, role: str, content: bytes, targets: Mapping[str, bytes]) -> None:
        """Writes a role's metadata, then a snapshot and a timestamp that name them."""
        metadata = Metadata[Targets].from_bytes(content)
        for path, text in targets.items():
            _put(self._folder / TARGETS_URL / consistent_path(path, metadata.signed.targets[path].hashes["sha256"]), text)
        _put(self._folder / METADATA / f"{metadata.signed.version}.{role}.json", content)
        mirror.sign(self._folder, self._online)

    def _read(self, url: str) -> bytes | None:
        path = self._folder / url
        return path.read_bytes() if path.is_file() else None


class _Fetcher(FetcherInterface):
    """TUF's way to read, by ours: 404 where there is nothing."""

    def __init__(self, read: Any) -> None:
        self._read = read

    def _fetch(self, url: str) -> Iterator[bytes]:
        content = self._read(url)
        if content is None:
            raise DownloadHTTPError(f"{url} is not there", _NOT_FOUND)
        return iter([content])


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
