"""Updates from a mirror: the same folders behind a web server."""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import urllib3

from agent.update.sources import MAX_METADATA_BYTES, MAX_TARGET_BYTES, PIECE_BYTES, away, check_stored_size, missing, refuse
from contract.errors import InvalidRequest, Reason, SeawallError
from contract.pieces import Piece
from contract.release import blob_path

_ABSENT = (403, 404)
"""Object stores say 403 of what is not there to those who may not list."""

_NO_SUCH_RANGE = 416
_TIMEOUT = urllib3.Timeout(connect=10.0, read=30.0)
_LONGEST_SECONDS = 300.0
"""For one file of metadata."""

_RANGE = re.compile(r"bytes (\d{1,12})-\d{1,12}/(\d{1,12})")


@dataclass(frozen=True, slots=True)
class MirrorUrls:
    """Where the three folders are, each ending in a slash."""

    metadata: str
    targets: str
    root: str


def mirror(url: str, ca_file: str | None = None) -> "HttpSource":
    """Returns the mirror at an address.

    Args:
        url: such as `https://mirror.example.org/seawall/`.
        ca_file: of the mirror's own CA, PEM; None: those that this machine trusts.

    Raises:
        InvalidRequest: CONFIG_INVALID, it is no HTTPS address.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise InvalidRequest(
            Reason.CONFIG_INVALID, f"{url[:200]!r} is no mirror's address: give one such as 'https://mirror.example.org/seawall/'."
        )
    root = url.rstrip("/") + "/"
    return HttpSource(MirrorUrls(f"{root}metadata/", f"{root}targets/", root), ssl.create_default_context(cafile=ca_file))


class HttpSource:
    """A mirror. It is asked over few connections, is not followed elsewhere, and is given a time for each answer.

    Args:
        urls: of its folders.
        context: for TLS; None: what this machine trusts.
        clock: seconds that pass.
    """

    offline = False
    streams = 4  # each chunk is a request, and waits for its answer

    def __init__(self, urls: MirrorUrls, context: ssl.SSLContext | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._urls = urls
        self._clock = clock
        self.name = urlsplit(urls.metadata).netloc
        self._pool = urllib3.PoolManager(num_pools=2, maxsize=8, block=True, timeout=_TIMEOUT, retries=False, ssl_context=context)

    async def metadata(self, name: str) -> bytes:
        """See Source."""
        return await asyncio.to_thread(self._read, self._urls.metadata + name, MAX_METADATA_BYTES)

    async def target(self, path: str) -> bytes:
        """See Source."""
        return await asyncio.to_thread(self._read, self._urls.targets + quote(path), MAX_TARGET_BYTES)

    async def blobs(self, digests: Sequence[str], first_offset: int) -> AsyncGenerator[Piece, None]:
        """See Source."""
        for number, digest in enumerate(digests):
            async for piece in self._pieces(digest, first_offset if number == 0 else 0):
                yield piece

    def close(self) -> None:
        """Closes the connections."""
        self._pool.clear()

    async def _pieces(self, digest: str, offset: int) -> AsyncGenerator[Piece, None]:
        response = await self._open_aside(self._urls.root + blob_path(digest), offset)
        begin = size_bytes = 0
        try:
            begin, size_bytes = self._extent(response, offset)
            while begin < size_bytes:
                data = await asyncio.to_thread(self._some, response, min(PIECE_BYTES, size_bytes - begin))
                kept = data[max(0, offset - begin) :]  # a server that knows no ranges begins at 0
                if kept:
                    yield Piece(digest, begin + len(data) - len(kept), size_bytes, kept)
                begin += len(data)
        finally:
            if 0 < size_bytes <= begin:
                response.release_conn()
            else:
                response.close()  # what is unread would be read by the next request

    async def _open_aside(self, url: str, offset: int) -> urllib3.BaseHTTPResponse:
        """Returns the response. One that comes after nobody waits any more is closed."""
        opening = asyncio.ensure_future(asyncio.to_thread(self._open, url, offset))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise

    def _read(self, url: str, most_bytes: int) -> bytes:
        response, data, until = self._open(url), bytearray(), self._clock() + _LONGEST_SECONDS
        try:
            while len(data) <= most_bytes and (piece := self._some(response, PIECE_BYTES)):
                data += piece
                if self._clock() > until:
                    raise away(self.name, f"{url[-200:]} takes longer than {_LONGEST_SECONDS:.0f} s")
        finally:
            response.close()
        if len(data) > most_bytes:
            refuse(self.name, f"{url[-200:]} has more than {most_bytes} bytes")
        return bytes(data)

    def _some(self, response: urllib3.BaseHTTPResponse, most_bytes: int) -> bytes:
        try:
            return bytes(response.read1(most_bytes))
        except urllib3.exceptions.HTTPError as error:
            raise away(self.name, type(error).__name__) from error

    def _extent(self, response: urllib3.BaseHTTPResponse, offset: int) -> tuple[int, int]:
        if response.status != 206:
            return 0, check_stored_size(self.name, _number(response.headers.get("Content-Length", "")))
        found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != offset:
            refuse(self.name, "it answers with another part of the file than it was asked for")
        return offset, check_stored_size(self.name, int(found[2]))

    def _open(self, url: str, offset: int = 0) -> urllib3.BaseHTTPResponse:
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        try:
            response = self._pool.request("GET", url, headers=headers, preload_content=False, redirect=False, decode_content=False)
        except urllib3.exceptions.HTTPError as error:
            raise away(self.name, type(error).__name__) from error
        try:
            self._check(response, url)
        except SeawallError:
            response.close()
            raise
        return response

    def _check(self, response: urllib3.BaseHTTPResponse, url: str) -> None:
        if response.status in _ABSENT:
            raise missing(self.name, url.rpartition("/")[2])
        if response.status == _NO_SUCH_RANGE:
            refuse(self.name, "it has less of the file than is here already")
        if response.status not in (200, 206):
            raise away(self.name, f"HTTP {response.status}")


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"\d{1,12}", text) else 0


def _close_unwanted(opening: asyncio.Future[urllib3.BaseHTTPResponse]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
