"""Where blobs are kept: a folder, an S3 server, memory. All behave alike."""

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from contract.errors import InvalidRequest, NotPossibleNow, Unavailable
from hub.release.blobs import Blobs, FolderBlobs, open_blobs

DIGESTS = [f"{number:064x}" for number in range(100)]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1").create_bucket(Bucket="seawall")
        yield "s3://seawall/fleet"
    server.stop()


@pytest.fixture(params=["folder", "s3", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    url = {"folder": "", "memory": "memory:///"}.get(request.param)
    return open_blobs(request.getfixturevalue("bucket") if url is None else url, tmp_path)


async def test_what_was_kept_is_there_and_the_rest_is_missing(blobs: Blobs) -> None:
    assert await blobs.missing(DIGESTS) == DIGESTS
    for digest in DIGESTS[::2]:
        await blobs.put(digest, digest.encode())
    await blobs.put(DIGESTS[0], DIGESTS[0].encode())
    assert await blobs.missing(DIGESTS) == DIGESTS[1::2]
    assert await blobs.get(DIGESTS[2]) == DIGESTS[2].encode()
    assert await blobs.get(DIGESTS[1]) is None


async def test_what_is_no_digest_reaches_no_file(blobs: Blobs) -> None:
    for name in ("../../etc/passwd", "", "A" * 64):
        with pytest.raises(InvalidRequest):
            await blobs.get(name)
        with pytest.raises(InvalidRequest):
            await blobs.missing([name])


async def test_a_disk_that_takes_nothing_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("in the way")
    with pytest.raises(Unavailable, match="cannot be kept"):
        await FolderBlobs(tmp_path).put(DIGESTS[0], b"x")


def test_a_store_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotPossibleNow, match="blobs_url"):
        open_blobs("gopher://somewhere", tmp_path)
