"""Blobs: chunks as they lie on disks and travel. The first byte says how: 0, as it is; 1, zstd."""

import hashlib

import zstandard

from contract.release import MAX_CHUNK_BYTES, invalid_release

PLAIN = b"\x00"
ZSTD = b"\x01"

MAX_STORED_BYTES = MAX_CHUNK_BYTES + 1
"""Whatever is not made smaller is kept as it is, behind one byte."""

WORTH = 0.95
"""Packed only where that leaves at most this share."""

LEVEL = 10


def pack(content: bytes) -> bytes:
    """Returns a chunk as a blob."""
    packed = zstandard.ZstdCompressor(level=LEVEL, write_content_size=False).compress(content)
    return ZSTD + packed if len(packed) <= WORTH * len(content) else PLAIN + content


def unpack(stored: bytes | bytearray | memoryview, sha256: str, most_bytes: int = MAX_CHUNK_BYTES) -> memoryview:
    """Returns the chunk in a blob, having compared its digest. Nothing is copied of one that was not packed.

    Args:
        stored: the blob.
        sha256: of the chunk.
        most_bytes: no more is ever unpacked.

    Raises:
        InvalidRequest: RELEASE_INVALID, it is not that chunk.
    """
    head, body = bytes(stored[:1]), memoryview(stored)[1:]
    if len(stored) > MAX_STORED_BYTES or head not in (PLAIN, ZSTD):
        raise invalid_release(f"blob {sha256[:80]} is none: it is too long, or of an unknown form")
    content = body if head == PLAIN else memoryview(_unpacked(body, sha256, most_bytes))
    if len(content) > most_bytes or hashlib.sha256(content).hexdigest() != sha256:
        raise invalid_release(f"blob {sha256[:80]} holds something else than its name says")
    return content


def _unpacked(body: memoryview, sha256: str, most_bytes: int) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=8 * MAX_CHUNK_BYTES).stream_reader(body)
    try:
        return bytes(reader.read(most_bytes + 1))
    except zstandard.ZstdError as error:
        raise invalid_release(f"blob {sha256[:80]} cannot be unpacked") from error
