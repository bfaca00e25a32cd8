"""The three sources, each over what it really speaks: gRPC, HTTP, a disk."""

import os
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest

from agent.update.chunk_folder import ChunkFolder
from agent.update.clock_floor import ClockFloor
from agent.update.fetcher import Fetcher, FetchSettings
from agent.update.folder_source import FolderSource
from agent.update.http_source import HttpSource, MirrorUrls, mirror
from agent.update.pacing import Pace, PaceSettings
from agent.update.sources import Source
from agent.update.trust import Trust
from contract.errors import InvalidRequest, NotFound, Reason, SeawallError, Unavailable
from contract.release import blob_path
from tests.fakes.release_server import ReleaseServer, hub_source, serving
from tests.fakes.tls import free_port
from tests.fakes.tuf_repository import FakeRepository, version_of

NOISE = random.Random(5)
WEIGHTS = [NOISE.randbytes(1_000_000), NOISE.randbytes(600_000)]
INDEX, BLOBS = version_of({"bundle.json": [b"{}" * 5000], "model.onnx.data": WEIGHTS})
FIRST, LAST = (chunk.sha256 for chunk in INDEX.files[1].chunks)


@pytest.fixture
def repository() -> FakeRepository:
    repository = FakeRepository(datetime.now(UTC))
    repository.add(INDEX, BLOBS)
    repository.publish()
    return repository


@pytest.fixture
def folder(tmp_path: Path, repository: FakeRepository) -> Path:
    """The repository as it lies on a stick or a mirror."""
    stick = tmp_path / "stick"
    files = {f"metadata/{name}": content for name, content in repository.metadata.items()}
    files |= {f"targets/{path}": content for path, content in repository.files.items()}
    files |= {blob_path(digest): content for digest, content in repository.blobs.items()}
    for name, content in files.items():
        (stick / name).parent.mkdir(parents=True, exist_ok=True)
        (stick / name).write_bytes(content)
    return stick


@contextmanager
def web_server(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[HttpSource]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        root = f"http://127.0.0.1:{server.server_address[1]}/"
        source = HttpSource(MirrorUrls(f"{root}metadata/", f"{root}targets/", root))
        try:
            yield source
        finally:
            source.close()
            server.shutdown()
            thread.join()


class Quiet(SimpleHTTPRequestHandler):
    """Files, with keep-alive, without ranges."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass


@asynccontextmanager
async def a_source(kind: str, folder: Path, repository: FakeRepository) -> AsyncIterator[Source]:
    if kind == "folder":
        yield FolderSource(folder)
    elif kind == "mirror":
        with web_server(partial(Quiet, directory=str(folder))) as source:
            yield source
    else:
        async with serving(ReleaseServer(repository.metadata, repository.files, repository.blobs)) as port, hub_source(port) as hub:
            yield hub


@pytest.mark.parametrize("kind", ["folder", "mirror", "hub"])
async def test_a_version_comes_whole_from_each_source(kind: str, folder: Path, repository: FakeRepository, tmp_path: Path) -> None:
    trust = Trust(tmp_path / "trust", repository.trusted_root, ClockFloor(tmp_path / "trust", lambda: datetime.now(UTC)))
    chunks = ChunkFolder(tmp_path / "chunks", spare_bytes=0)
    chunks.keep_part(INDEX.files[1].chunks[0], BLOBS[FIRST][:300_001])
    fetcher = Fetcher(chunks, Pace(PaceSettings(), lambda: datetime.now(UTC)), random.Random(1), FetchSettings(attempts=2))
    async with a_source(kind, folder, repository) as source:
        index = await trust.index(source, "models", "tiny", "1.0.0")
        await fetcher.fetch(index, source)
    assert index == INDEX
    assert [chunks.find(chunk) for chunk in INDEX.files[1].chunks] == WEIGHTS


@pytest.mark.parametrize("kind", ["folder", "mirror", "hub"])
async def test_a_blob_begins_where_it_is_asked_to(kind: str, folder: Path, repository: FakeRepository) -> None:
    async with a_source(kind, folder, repository) as source:
        pieces = [piece async for piece in source.blobs([FIRST, LAST], 500_000)]
    assert pieces[0].offset == 500_000
    for digest, offset in ((FIRST, 500_000), (LAST, 0)):
        assert b"".join(piece.data for piece in pieces if piece.digest == digest) == BLOBS[digest][offset:]


@pytest.mark.parametrize("kind", ["folder", "mirror", "hub"])
async def test_what_a_source_lacks_is_not_found(kind: str, folder: Path, repository: FakeRepository) -> None:
    async with a_source(kind, folder, repository) as source:
        for asked in (source.metadata("9.root.json"), source.target("models/none"), anext(source.blobs(["0" * 64], 0))):
            with pytest.raises(NotFound) as caught:
                await asked
            assert caught.value.reason is Reason.RELEASE_NOT_FOUND


async def test_a_hub_that_is_away_is_unavailable() -> None:
    async with hub_source(free_port()) as source:
        with pytest.raises(Unavailable):
            await source.metadata("timestamp.json")
        with pytest.raises(Unavailable):
            await anext(source.blobs([FIRST], 0))


@pytest.mark.parametrize("message", [b"\x0a\x05abcd", b"", b"\x18\x80\x80\x80\x80\x08"], ids=["cut off", "empty", "2 GiB"])
async def test_a_hub_whose_pieces_are_none_is_refused(message: bytes) -> None:
    async def send(request: bytes, context: Any) -> AsyncIterator[bytes]:  # noqa: ARG001
        yield message

    methods: dict[str, Any] = {"FetchBlobs": grpc.unary_stream_rpc_method_handler(send)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("seawall.hub.v1.ReleaseService", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with hub_source(port) as source:
        with pytest.raises(InvalidRequest) as caught:
            await anext(source.blobs([FIRST], 0))
    await server.stop(0)
    assert caught.value.reason is Reason.RELEASE_INVALID


@pytest.mark.parametrize("path", ["../secret", "a/../../../secret", "/etc/passwd", "a//b", "", ".", "a\0b", "x/" * 30 + "y"])
async def test_no_path_leads_out_of_a_folder(folder: Path, path: str) -> None:
    (folder.parent / "secret").write_bytes(b"secret")
    with pytest.raises(InvalidRequest):
        await FolderSource(folder).target(path)


async def test_no_link_in_a_folder_is_followed(folder: Path) -> None:
    (folder.parent / "secret").write_bytes(b"secret")
    (folder / "metadata" / "2.root.json").symlink_to(folder.parent / "secret")
    (folder / "targets" / "linked").symlink_to(folder.parent)
    for asked in (FolderSource(folder).metadata("2.root.json"), FolderSource(folder).target("linked/secret")):
        with pytest.raises(Unavailable):
            await asked


async def test_a_pipe_in_a_folder_holds_nobody_up(folder: Path) -> None:
    os.mkfifo(folder / "metadata" / "2.root.json")
    with pytest.raises(InvalidRequest, match="no regular file"):
        await FolderSource(folder).metadata("2.root.json")


async def test_a_file_without_end_in_a_folder_is_refused(folder: Path) -> None:
    with (folder / "metadata" / "2.root.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InvalidRequest, match="more than"):
        await FolderSource(folder).metadata("2.root.json")


class Answer(Quiet):
    """One answer to everything."""

    status, headers_sent, body, endless = 200, {"Content-Length": "5"}, b"hello", False

    def do_GET(self) -> None:
        self.send_response(self.status)
        for name, value in self.headers_sent.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        try:
            self.wfile.write(self.body)
            while self.endless:
                self.wfile.write(bytes(65536))
        except OSError:  # the other side has had enough, which is what is tested
            pass


def answering(**changes: Any) -> type[Answer]:
    return type("Changed", (Answer,), changes)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (answering(status=500), Unavailable),
        (answering(status=302, headers_sent={"Location": "http://127.0.0.1:1/", "Content-Length": "0"}, body=b""), Unavailable),
        (answering(headers_sent={"Content-Length": "50"}), Unavailable),
        (answering(headers_sent={}, endless=True), InvalidRequest),
        (answering(headers_sent={"Content-Length": str(1 << 50)}, endless=True), InvalidRequest),
        (answering(status=403), NotFound),
    ],
    ids=["error", "elsewhere", "truncated", "endless", "enormous", "hidden"],
)
async def test_a_bad_web_server_is_refused(answer: type[Answer], error: type[SeawallError]) -> None:
    with web_server(answer) as source, pytest.raises(error):
        await source.metadata("timestamp.json")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (answering(headers_sent={"Content-Length": str(1 << 40)}, endless=True), InvalidRequest),
        (answering(headers_sent={}), InvalidRequest),
        (answering(status=206, headers_sent={"Content-Range": "bytes 7-9/100", "Content-Length": "5"}), InvalidRequest),
        (answering(status=206, headers_sent={"Content-Range": "bytes x", "Content-Length": "5"}), InvalidRequest),
        (answering(status=416, headers_sent={"Content-Length": "5"}), InvalidRequest),
        (answering(headers_sent={"Content-Length": "900"}), Unavailable),
    ],
    ids=["enormous", "sizeless", "elsewhere", "senseless", "no such range", "truncated"],
)
async def test_a_bad_blob_from_a_web_server_is_refused(answer: type[Answer], error: type[SeawallError]) -> None:
    with web_server(answer) as source, pytest.raises(error):
        [piece async for piece in source.blobs([FIRST], 3)]


async def test_a_range_is_asked_for() -> None:
    asked: list[str] = []

    class Ranged(Quiet):
        def do_GET(self) -> None:
            asked.append(self.headers["Range"])
            begin = int(asked[-1].removeprefix("bytes=").rstrip("-"))
            rest = BLOBS[FIRST][begin:]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(BLOBS[FIRST]) - 1}/{len(BLOBS[FIRST])}")
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest)

    with web_server(Ranged) as source:
        pieces = [piece async for piece in source.blobs([FIRST], 123_456)]
    assert asked == ["bytes=123456-"]
    assert b"".join(piece.data for piece in pieces) == BLOBS[FIRST][123_456:]


@pytest.mark.parametrize("url", ["http://mirror.example.org/", "https://", "mirror.example.org", "https://m.example.org/?x=1"])
def test_a_mirror_is_reached_over_tls_or_not_at_all(url: str) -> None:
    with pytest.raises(InvalidRequest, match="https://mirror"):
        mirror(url)
