"""Versions of a bundle, as a publisher would make them: whole in form, small, with an index and chunks."""

import hashlib
import json
from dataclasses import dataclass
from random import Random

from contract.bundle import Bundle, FileEntry, Shape, Source
from contract.release import Chunk, Index, IndexFile

CHUNK_BYTES = 16 * 1024
MODEL = "tiny"


@dataclass(frozen=True)
class Version:
    """A version.

    Args:
        number: of it.
        index_json: its index.
        chunks: plain bytes by digest.
        digest: of all of its files.
    """

    number: int
    index_json: bytes
    chunks: dict[str, bytes]
    digest: str

    @property
    def index(self) -> Index:
        return Index.from_json(self.index_json)

    def read(self, chunk: Chunk) -> bytes:
        return self.chunks[chunk.sha256]


def make_version(number: int, size_bytes: int = 100_000) -> Version:
    """Returns a version. Half of its weights are those of all others; every file says which version it is of."""
    mark = f"version {number}\n".encode()
    files = {
        "model.onnx": mark + Random(number).randbytes(size_bytes // 10),
        "model.onnx.data": Random(0).randbytes(size_bytes // 2) + Random(number).randbytes(size_bytes // 2) + mark,
        "tokenizer.json": mark,
    }
    entries = {name: FileEntry(hashlib.sha256(content).hexdigest(), len(content)) for name, content in files.items()}
    source, shape = Source("test", MODEL, str(number), ""), Shape(1, 1, 8, 16, 4096)
    bundle = Bundle(MODEL, str(number), "int8", "Apache-2.0", source, shape, "{{ messages }}", (0,), entries)
    files["bundle.json"] = bundle.to_json()
    chunks: dict[str, bytes] = {}
    listed = tuple(_file(name, files[name], chunks) for name in sorted(files))
    return Version(number, Index(1, MODEL, str(number), listed).to_json(), chunks, digest_of(files))


def digest_of(files: dict[str, bytes]) -> str:
    """Returns a digest of names and bytes."""
    return hashlib.sha256(json.dumps({name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}).encode()).hexdigest()


def _file(name: str, content: bytes, chunks: dict[str, bytes]) -> IndexFile:
    pieces = [content[begin : begin + CHUNK_BYTES] for begin in range(0, len(content), CHUNK_BYTES)]
    listed = []
    for piece in pieces:
        digest = hashlib.sha256(piece).hexdigest()
        chunks[digest] = piece
        listed.append(Chunk(digest, len(piece)))
    return IndexFile(name, hashlib.sha256(content).hexdigest(), len(content), tuple(listed))
