"""What is distributed, over gRPC: published by signatures, read by agents, refused with a reason."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Targets, Timestamp

from agent.hub_channel import open_channel
from agent.identity.enrollment import enroll
from agent.identity.files import IdentityFolder
from agent.identity.root import first_root
from contract.blobs import pack, unpack
from contract.release import Index, consistent_path
from hub.release.keys import online_signer
from hub.store import releases
from hub.store.database import Database
from models import trust
from seawall.hub.v1 import release_pb2, release_pb2_grpc
from tests.fakes.hub import Identity, RunningHub, running_hub
from tests.fakes.hub_errors import reason_of
from tests.fakes.releases import LIVES, Ceremony, StubFetcher, index_of, updater

WEIGHTS = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()
INDEX = index_of(WEIGHTS, DIGEST)
PATH = INDEX.path("models")


@dataclass
class Repository:
    """A hub, its ceremony, and stubs of those who call it."""

    hub: RunningHub
    ceremony: Ceremony
    agent: Any
    publisher: Any
    operator: Any
    agent_identity: Identity

    async def publish(self, role: str, content: bytes, targets: dict[str, bytes] | None = None, caller: Any = None) -> Any:
        sent = [release_pb2.NewTarget(path=path, content=text) for path, text in (targets or {}).items()]
        request = release_pb2.PublishMetadataRequest(role=role, content=content, targets=sent)
        return await (caller or self.publisher).PublishMetadata(request)

    async def refusal(self, role: str, content: bytes, targets: dict[str, bytes] | None = None, caller: Any = None) -> tuple[str, str, str]:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await self.publish(role, content, targets, caller)
        return raised.value.code().name, reason_of(raised.value), str(raised.value.details())

    async def import_trust(self) -> None:
        for role, content in self.ceremony.everything().items():
            await self.publish(role, content, caller=self.operator)

    async def upload(self, *blobs: tuple[str, bytes]) -> list[str]:
        requests = (release_pb2.UploadBlobsRequest(digest=digest, stored=stored) for digest, stored in blobs)
        return [response.digest async for response in self.publisher.UploadBlobs(requests)]

    async def release(self) -> None:
        """Publishes one version."""
        await self.upload((DIGEST, pack(WEIGHTS)))
        await self.publish("models", self.ceremony.next("models", {PATH: INDEX.to_json()}), {PATH: INDEX.to_json()})

    async def read_as_agent(self, folder: Path, root: bytes | None = None) -> bytes | None:
        """Returns the index, as TUF has verified it from a root; None: there is none."""
        return await asyncio.to_thread(self._read_as_agent, folder, root or self.ceremony.root)

    def _read_as_agent(self, folder: Path, root: bytes) -> bytes | None:
        with blocking_stub(self.hub, self.agent_identity) as stub:
            client = updater(folder, root, StubFetcher(stub))
            client.refresh()
            target = client.get_targetinfo(PATH)
            return None if target is None else Path(client.download_target(target, str(folder / "index.json"))).read_bytes()


@contextmanager
def blocking_stub(hub: RunningHub, identity: Identity) -> Iterator[Any]:
    credentials = grpc.ssl_channel_credentials(hub.ca_certificate, identity.key, identity.certificate)
    with grpc.secure_channel(hub.mtls_target, credentials, [("grpc.enable_http_proxy", 0)]) as channel:
        yield release_pb2_grpc.ReleaseServiceStub(channel)


@pytest.fixture
async def repository(tmp_path: Path) -> AsyncIterator[Repository]:
    async with running_hub(tmp_path / "hub") as hub:
        agent = await hub.enroll("plant-7")
        async with (
            hub.channel(agent) as of_agent,
            hub.channel(hub.issue("publisher")) as of_publisher,
            hub.channel(hub.operator) as of_operator,
        ):
            yield Repository(
                hub,
                Ceremony.held([online_signer(hub.folder.path).public_key]),
                release_pb2_grpc.ReleaseServiceStub(of_agent),
                release_pb2_grpc.PublisherServiceStub(of_publisher),
                release_pb2_grpc.PublisherServiceStub(of_operator),
                agent,
            )


@pytest.fixture
async def trusted(repository: Repository) -> Repository:
    await repository.import_trust()
    return repository


async def test_an_agent_verifies_what_was_published_from_the_root_alone(trusted: Repository, tmp_path: Path) -> None:
    assert await trusted.read_as_agent(tmp_path / "before") is None
    await trusted.release()
    assert await trusted.read_as_agent(tmp_path / "after") == INDEX.to_json()


async def test_blobs_come_in_order_and_go_on_where_they_stopped(trusted: Repository) -> None:
    noise = hashlib.shake_256(b"noise").digest(1024 * 1024)
    blobs = {DIGEST: pack(WEIGHTS), hashlib.sha256(noise).hexdigest(): pack(noise)}
    assert await trusted.upload(*blobs.items()) == list(blobs)
    for offset in (0, 1, len(blobs[DIGEST]) - 1, len(blobs[DIGEST])):
        got: dict[str, bytes] = dict.fromkeys(blobs, b"")
        got[DIGEST] = blobs[DIGEST][:offset]
        async for piece in trusted.agent.FetchBlobs(release_pb2.FetchBlobsRequest(digests=list(blobs), first_offset=offset)):
            assert piece.offset == len(got[piece.digest])
            assert piece.stored_size_bytes == len(blobs[piece.digest])
            assert len(piece.data) <= 256 * 1024
            got[piece.digest] += piece.data
        assert {digest: unpack(stored, digest) for digest, stored in got.items()} == {DIGEST: WEIGHTS, list(blobs)[1]: noise}


async def test_a_stream_that_has_brought_two_mebibytes_sends_whole_blobs(trusted: Repository) -> None:
    noise = [hashlib.shake_256(bytes([number])).digest(900_000) for number in range(5)]
    blobs = {hashlib.sha256(content).hexdigest(): pack(content) for content in noise}
    await trusted.upload(*blobs.items())
    asked = release_pb2.FetchBlobsRequest(digests=list(blobs), first_offset=100_000)
    pieces = [piece async for piece in trusted.agent.FetchBlobs(asked)]
    sent_bytes = 0
    for piece in pieces:
        most_bytes = 256 * 1024 if sent_bytes < 2 * 1024 * 1024 else piece.stored_size_bytes - piece.offset
        assert len(piece.data) == min(most_bytes, piece.stored_size_bytes - piece.offset)
        sent_bytes += len(piece.data)
    assert len(pieces[-1].data) == 900_001
    assert b"".join(piece.data for piece in pieces) == b"".join(blobs.values())[100_000:]


async def test_what_is_there_is_sent_before_what_is_missing_is_said(trusted: Repository) -> None:
    await trusted.upload((DIGEST, pack(WEIGHTS)))
    got = bytearray()

    async def receive() -> None:
        async for piece in trusted.agent.FetchBlobs(release_pb2.FetchBlobsRequest(digests=[DIGEST, "0" * 64, DIGEST])):
            got.extend(piece.data)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await receive()
    assert reason_of(raised.value) == "RELEASE_NOT_FOUND"
    assert bytes(got) == pack(WEIGHTS)


@pytest.mark.parametrize(
    ("digests", "offset", "refused"),
    [
        (["0" * 64], 0, ("NOT_FOUND", "RELEASE_NOT_FOUND")),
        (["../../hub.toml"], 0, ("INVALID_ARGUMENT", "RELEASE_INVALID")),
        ([DIGEST] * 257, 0, ("INVALID_ARGUMENT", "RELEASE_INVALID")),
        ([DIGEST], -1, ("INVALID_ARGUMENT", "FIELD_INVALID")),
        ([DIGEST], 10**9, ("INVALID_ARGUMENT", "FIELD_INVALID")),
    ],
)
async def test_blobs_that_cannot_be_had_are_refused(trusted: Repository, digests: list[str], offset: int, refused: tuple[str, str]) -> None:
    await trusted.upload((DIGEST, pack(WEIGHTS)))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for _ in trusted.agent.FetchBlobs(release_pb2.FetchBlobsRequest(digests=digests, first_offset=offset)):
            pass
    assert (raised.value.code().name, reason_of(raised.value)) == refused


@pytest.mark.parametrize("stored", [pack(b"other"), b"", b"\x07x", b"\x01no zstd", pack(WEIGHTS) + b"x" * 2**21])
async def test_a_blob_that_is_not_what_its_name_says_is_not_kept(trusted: Repository, stored: bytes) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await trusted.upload((DIGEST, stored))
    assert reason_of(raised.value) == "RELEASE_INVALID"
    missing = await trusted.publisher.ListMissingBlobs(release_pb2.ListMissingBlobsRequest(digests=[DIGEST]))
    assert list(missing.digests) == [DIGEST]


async def test_a_publisher_cannot_bring_the_first_root_and_an_agent_nothing(repository: Repository) -> None:
    root = repository.ceremony.root
    assert (await repository.refusal("root", root))[:2] == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
    async with repository.hub.channel(repository.agent_identity) as channel:
        agent = release_pb2_grpc.PublisherServiceStub(channel)
        assert (await repository.refusal("root", root, caller=agent))[:2] == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
    assert (await repository.refusal("models", repository.ceremony.next("models", {})))[:2] == ("FAILED_PRECONDITION", "RELEASE_INVALID")


async def test_what_is_current_already_is_accepted_again_and_changes_nothing(trusted: Repository) -> None:
    first = await trusted.agent.GetMetadata(release_pb2.GetMetadataRequest(name="timestamp.json"))
    await trusted.import_trust()
    assert await trusted.agent.GetMetadata(release_pb2.GetMetadataRequest(name="timestamp.json")) == first


def signed_by_another_role(ceremony: Ceremony) -> tuple[str, bytes, dict[str, bytes]]:
    return "models", ceremony.next("models", {PATH: INDEX.to_json()}, signers=ceremony.signers["policies"]), {PATH: INDEX.to_json()}


def one_signature_of_two(ceremony: Ceremony) -> tuple[str, bytes, dict[str, bytes]]:
    path = INDEX.path("agent-releases")
    content = ceremony.next("agent-releases", {path: INDEX.to_json()}, signers=ceremony.signers["agent-releases"][:1])
    return "agent-releases", content, {path: INDEX.to_json()}


def a_path_of_another_role(ceremony: Ceremony) -> tuple[str, bytes, dict[str, bytes]]:
    path = INDEX.path("policies")
    return "models", ceremony.next("models", {path: INDEX.to_json()}), {path: INDEX.to_json()}


def an_index_of_something_else(ceremony: Ceremony) -> tuple[str, bytes, dict[str, bytes]]:
    other = index_of(WEIGHTS, DIGEST, version="9.9.9").to_json()
    return "models", ceremony.next("models", {PATH: other}), {PATH: other}


def no_index(ceremony: Ceremony) -> tuple[str, bytes, dict[str, bytes]]:
    return "models", ceremony.next("models", {PATH: b"{}"}), {PATH: b"{}"}


def a_target_that_was_swapped(ceremony: Ceremony) -> tuple[str, bytes, dict[str, bytes]]:
    return "models", ceremony.next("models", {PATH: INDEX.to_json()}), {PATH: index_of(b"x", DIGEST).to_json()}


def a_target_without_its_file(ceremony: Ceremony) -> tuple[str, bytes, dict[str, bytes]]:
    return "models", ceremony.next("models", {PATH: INDEX.to_json()}), {}


def a_file_that_is_not_named(ceremony: Ceremony) -> tuple[str, bytes, dict[str, bytes]]:
    return "models", ceremony.next("models", {}), {PATH: INDEX.to_json()}


def missing_chunks(ceremony: Ceremony) -> tuple[str, bytes, dict[str, bytes]]:
    index = index_of(b"never sent", hashlib.sha256(b"never sent").hexdigest()).to_json()
    return "models", ceremony.next("models", {PATH: index}), {PATH: index}


def expired(ceremony: Ceremony) -> tuple[str, bytes, dict[str, bytes]]:
    return "models", ceremony.next("models", {}, now=datetime.now(UTC) - timedelta(days=91)), {}


def a_root_for_a_role(ceremony: Ceremony) -> tuple[str, bytes, dict[str, bytes]]:
    return "models", ceremony.root, {}


def noise(ceremony: Ceremony) -> tuple[str, bytes, dict[str, bytes]]:
    del ceremony
    return "models", b"\xff{", {}


@pytest.mark.parametrize(
    "attempt",
    [
        signed_by_another_role,
        one_signature_of_two,
        a_path_of_another_role,
        an_index_of_something_else,
        no_index,
        a_target_that_was_swapped,
        a_target_without_its_file,
        a_file_that_is_not_named,
        missing_chunks,
        expired,
        a_root_for_a_role,
        noise,
    ],
)
async def test_what_may_not_be_published_is_refused_and_changes_nothing(trusted: Repository, attempt: Any) -> None:
    await trusted.upload((DIGEST, pack(WEIGHTS)))
    before = await trusted.agent.GetMetadata(release_pb2.GetMetadataRequest(name="timestamp.json"))
    role, content, targets = attempt(trusted.ceremony)
    assert (await trusted.refusal(role, content, targets))[:2] == ("INVALID_ARGUMENT", "RELEASE_INVALID")
    assert await trusted.agent.GetMetadata(release_pb2.GetMetadataRequest(name="timestamp.json")) == before


async def test_two_who_publish_at_once_do_not_undo_each_other(trusted: Repository) -> None:
    await trusted.upload((DIGEST, pack(WEIGHTS)))
    targets = {PATH: INDEX.to_json()}
    both = await asyncio.gather(
        trusted.publish("models", trusted.ceremony.next("models", targets), targets),
        trusted.publish("models", trusted.ceremony.next("models", {}, now=datetime.now(UTC) + timedelta(days=1))),
        return_exceptions=True,
    )
    (lost,) = [item for item in both if isinstance(item, grpc.aio.AioRpcError)]
    assert (lost.code().name, reason_of(lost)) == ("ABORTED", "RELEASE_VERSION_CONFLICT")


async def test_a_hub_with_every_online_key_cannot_make_a_target(trusted: Repository, tmp_path: Path) -> None:
    """Whoever holds the hub writes into its store, and signs with its key; agents refuse, and keep to what they have verified."""
    await trusted.release()
    forged = trusted.ceremony.next("models", {INDEX.path("models"): b"evil"}, signers=[online_signer(trusted.hub.folder.path)])
    await tamper(trusted.hub, {"9.models.json": forged}, {"models.json": MetaFile(9)})
    with pytest.raises(RepositoryError, match="models was signed by 0/1 keys"):
        await trusted.read_as_agent(tmp_path / "agent")


async def tamper(hub: RunningHub, files: dict[str, bytes], meta: dict[str, MetaFile]) -> None:
    """Writes files into the store, under a snapshot and a timestamp that are signed with the hub's own key."""
    signer, end = online_signer(hub.folder.path), datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    database = Database.open(hub.folder.database_url)
    old = await database.read(lambda connection: releases.get_metadata(connection, "timestamp.json"))
    timestamp: Metadata[Timestamp] = Metadata.from_bytes(old or b"")
    version = timestamp.signed.snapshot_meta.version
    text = await database.read(lambda connection: releases.get_metadata(connection, f"{version}.snapshot.json"))
    snapshot: Metadata[Snapshot] = Metadata.from_bytes(text or b"")
    snapshot.signed.version, snapshot.signed.meta = version + 1, snapshot.signed.meta | meta
    timestamp.signed.version += 1
    timestamp.signed.snapshot_meta, timestamp.signed.expires = MetaFile(version + 1), end
    for metadata in (snapshot, timestamp):
        metadata.sign(signer)
    files = files | {f"{version + 1}.snapshot.json": snapshot.to_bytes(), "timestamp.json": timestamp.to_bytes()}
    for name, content in files.items():
        await database.write(partial(releases.put_metadata, name=name, content=content, now=end))
    database.close()


async def test_a_rotated_key_signs_no_more_and_agents_see_no_state_between(trusted: Repository, tmp_path: Path) -> None:
    await trusted.release()
    ceremony = trusted.ceremony
    current: Metadata[Targets] = Metadata.from_bytes(ceremony.next("models", {PATH: INDEX.to_json()}))
    held = trust.Trust(ceremony.trust.root, ceremony.trust.targets, {**ceremony.trust.roles, "models": current})
    fresh: list[Signer] = [CryptoSigner.generate_ecdsa()]
    changed = trust.rotate(held, "models", ceremony.signers["targets"], fresh, LIVES, datetime.now(UTC))
    between = await trusted.publish("targets", changed["targets"].to_bytes())
    assert await trusted.read_as_agent(tmp_path / "between") == INDEX.to_json()
    after = await trusted.publish("models", changed["models"].to_bytes())
    assert after.snapshot_version > between.snapshot_version
    assert await trusted.read_as_agent(tmp_path / "after") == INDEX.to_json()
    ceremony.trust = trust.Trust(ceremony.trust.root, changed["targets"], {**ceremony.trust.roles, "models": changed["models"]})
    assert (await trusted.refusal("models", ceremony.next("models", {})))[:2] == ("INVALID_ARGUMENT", "RELEASE_INVALID")
    await trusted.publish("models", ceremony.next("models", {}, signers=fresh))


async def test_a_root_is_followed_by_one_that_the_old_and_the_new_keys_have_signed(trusted: Repository, tmp_path: Path) -> None:
    await trusted.release()
    ceremony, now = trusted.ceremony, datetime.now(UTC)
    first = ceremony.root
    fresh: list[Signer] = [CryptoSigner.generate_ecdsa() for _ in range(3)]
    for signers in ([*ceremony.signers["root"][:1], *fresh], [*ceremony.signers["root"], *fresh[:1]]):
        partly = trust.rotate(ceremony.trust, "root", [], fresh, LIVES, now)["root"]
        partly.signatures.clear()
        for signer in signers:
            partly.sign(signer, append=True)
        assert (await trusted.refusal("root", partly.to_bytes()))[:2] == ("INVALID_ARGUMENT", "RELEASE_INVALID")
    whole = trust.rotate(ceremony.trust, "root", ceremony.signers["root"][:2], fresh, LIVES, now)["root"]
    await trusted.publish("root", whole.to_bytes())
    assert await trusted.read_as_agent(tmp_path / "old", first) == INDEX.to_json()
    assert await trusted.read_as_agent(tmp_path / "new", whole.to_bytes()) == INDEX.to_json()


async def test_a_root_that_does_not_name_the_online_key_is_refused(trusted: Repository) -> None:
    ceremony = trusted.ceremony
    other = CryptoSigner.generate_ecdsa().public_key
    changed = trust.replace_online(ceremony.trust, [other], ceremony.signers["root"], LIVES, datetime.now(UTC))["root"]
    code, reason, message = await trusted.refusal("root", changed.to_bytes())
    assert (code, reason) == ("INVALID_ARGUMENT", "RELEASE_INVALID")
    assert "seawall-hub trust request" in message


async def test_a_targets_file_is_read_by_its_digest(trusted: Repository) -> None:
    await trusted.release()
    path = consistent_path(PATH, hashlib.sha256(INDEX.to_json()).hexdigest())
    target = await trusted.agent.GetTarget(release_pb2.GetTargetRequest(path=path))
    assert Index.from_json(target.content) == INDEX
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await trusted.agent.GetTarget(release_pb2.GetTargetRequest(path=PATH))
    assert reason_of(raised.value) == "RELEASE_NOT_FOUND"


async def test_a_join_token_names_the_newest_root_once_there_is_one(repository: Repository) -> None:
    assert not (await repository.hub.join_token()).root_sha256
    await repository.import_trust()
    assert (await repository.hub.join_token()).root_sha256 == hashlib.sha256(repository.ceremony.root).hexdigest()


async def test_a_device_keeps_the_root_that_its_token_named_and_finds_it(trusted: Repository, tmp_path: Path) -> None:
    token, hub = str(await trusted.hub.join_token()), trusted.hub
    identity = await asyncio.to_thread(enroll, token, hub.enrollment_target, hub.mtls_target)
    folder = IdentityFolder(tmp_path / "identity")
    folder.write(identity)
    kept = folder.read()
    async with open_channel(kept) as channel:
        stub: Any = release_pb2_grpc.ReleaseServiceStub(channel)

        async def metadata(name: str) -> bytes:
            return bytes((await stub.GetMetadata(release_pb2.GetMetadataRequest(name=name))).content)

        assert await first_root(metadata, kept.root_sha256) == trusted.ceremony.root
