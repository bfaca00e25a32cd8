"""What a release is made of: an index, which is a TUF target, names files, and files are chunks that are found by their digest.

TUF vouches for the index; the index vouches for every byte of every file. Chunks that two versions have in common are the same blob.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from contract.errors import InvalidRequest, Reason

FORMAT_VERSION = 1

MAX_INDEX_BYTES = 2 * 1024 * 1024
MAX_CHUNK_BYTES = 1024 * 1024
MAX_FILES = 1000
MAX_CHUNKS = 16_384
MAX_BUNDLE_BYTES = 16 * 1024**3

DELEGATED_ROLES = ("agent-releases", "models", "policies", "rosters")
"""Each signs what lies in the folder of its name, with keys of its own."""

_FIELDS = {"files", "format_version", "model", "version"}
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a file, found by its digest: SHA-256 of the plain bytes."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file: its chunks, in order."""

    name: str
    sha256: str
    size_bytes: int
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """All files of one version of one thing.

    Args:
        format_version: of the index itself.
        model: the id, as in `models/{model}`; of a policy, a roster or an agent's release, its own name.
        version: as in `versions/{version}`.
        files: sorted by name.
    """

    format_version: int
    model: str
    version: str
    files: tuple[IndexFile, ...]

    def path(self, role: str) -> str:
        """Returns the TUF path of the index, for the role that signs it."""
        return target_path(role, self.model, self.version)

    def chunks(self) -> dict[str, Chunk]:
        """Returns each chunk once, by its digest, in the order in which it is first needed."""
        return {chunk.sha256: chunk for file in self.files for chunk in file.chunks}

    def size_bytes(self) -> int:
        """Returns the size of all files together."""
        return sum(file.size_bytes for file in self.files)

    def to_json(self) -> bytes:
        """Returns the canonical bytes: equal indices have equal bytes."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> "Index":
        """Reads and checks an index.

        Raises:
            InvalidRequest: RELEASE_INVALID, with what is wrong.
        """
        if len(text) > MAX_INDEX_BYTES:
            raise invalid_release(f"the index has {len(text)} bytes, at most {MAX_INDEX_BYTES} are read")
        try:
            content = json.loads(text)
            if set(content) != _FIELDS:
                raise ValueError(f"fields are {', '.join(sorted(_FIELDS))}")
            index = cls(
                format_version=_whole(content["format_version"], FORMAT_VERSION, FORMAT_VERSION, "format_version"),
                model=_matching(_NAME, content["model"], "model"),
                version=_matching(_NAME, content["version"], "version"),
                files=tuple(_file(item) for item in content["files"]),
            )
            _check(index)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise invalid_release(f"the index cannot be read: {type(error).__name__}: {str(error)[:200]}") from error
        return index


def target_path(role: str, name: str, version: str) -> str:
    """Returns where an index lies among the targets: `models/{model}/versions/{version}.json`."""
    return f"{role}/{name}/versions/{version}.json"


def versions_of(paths: Iterable[str], role: str, name: str) -> tuple[str, ...]:
    """Returns the versions of a name among targets."""
    begin, end = target_path(role, name, "\n").split("\n")
    return tuple(path.removeprefix(begin).removesuffix(end) for path in paths if path.startswith(begin) and path.endswith(end))


def consistent_path(path: str, sha256: str) -> str:
    """Returns the name of a target's file: TUF puts the digest before the last part."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{sha256}.{name}"


def blob_path(sha256: str) -> str:
    """Returns where a blob lies in a mirror or a folder.

    Raises:
        InvalidRequest: RELEASE_INVALID, it is no digest.
    """
    if not _SHA256.fullmatch(sha256):
        raise invalid_release(f"'{sha256[:80]}' is no digest: 64 of 0-9 and a-f are")
    return f"blobs/sha256/{sha256[:2]}/{sha256}"


def invalid_release(why: str) -> InvalidRequest:
    """Returns the error for what cannot be part of a release."""
    return InvalidRequest(Reason.RELEASE_INVALID, f"The release cannot be used: {why}. Publish it again.")


def _check(index: Index) -> None:
    names = [file.name for file in index.files]
    if not names or len(names) > MAX_FILES or names != sorted(set(names)):
        raise ValueError(f"files are 1 to {MAX_FILES}, sorted by name, each once")
    if sum(len(file.chunks) for file in index.files) > MAX_CHUNKS:
        raise ValueError(f"more than {MAX_CHUNKS} chunks")
    if index.size_bytes() > MAX_BUNDLE_BYTES:
        raise ValueError(f"more than {MAX_BUNDLE_BYTES} bytes")
    sizes: dict[str, int] = {}
    for file in index.files:
        if file.size_bytes != sum(chunk.size_bytes for chunk in file.chunks):
            raise ValueError(f"the chunks of {file.name} are not so many bytes as the file")
        if any(sizes.setdefault(chunk.sha256, chunk.size_bytes) != chunk.size_bytes for chunk in file.chunks):
            raise ValueError("one digest has two sizes")
        if not file.chunks and file.sha256 != hashlib.sha256().hexdigest():
            raise ValueError(f"{file.name} is empty, its digest is not")


def _file(value: Any) -> IndexFile:
    if set(value) != {"name", "sha256", "size_bytes", "chunks"}:
        raise ValueError("a file has name, sha256, size_bytes and chunks")
    return IndexFile(
        name=_matching(_FILE_NAME, value["name"], "file name"),
        sha256=_matching(_SHA256, value["sha256"], "sha256"),
        size_bytes=_whole(value["size_bytes"], 0, MAX_BUNDLE_BYTES, "size_bytes"),
        chunks=tuple(_chunk(item) for item in value["chunks"]),
    )


def _chunk(value: Any) -> Chunk:
    if set(value) != {"sha256", "size_bytes"}:
        raise ValueError("a chunk has sha256 and size_bytes")
    return Chunk(_matching(_SHA256, value["sha256"], "sha256"), _whole(value["size_bytes"], 1, MAX_CHUNK_BYTES, "size_bytes"))


def _whole(value: Any, least: int, most: int, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{what} is a whole number from {least} to {most}")
    return value


def _matching(pattern: re.Pattern[str], value: Any, what: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{what} {str(value)[:80]!r} is not allowed")
    return value
