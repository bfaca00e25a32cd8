"""Cuts a bundle's files into chunks, so that what is alike in two versions is the same chunk.

A file of weights is cut where its tensors begin and end, any other in pieces of one size. A tensor that has changed travels alone.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from contract.bundle import MODEL_FILE
from contract.release import FORMAT_VERSION, MAX_CHUNK_BYTES, Chunk, Index, IndexFile, invalid_release

GROUP_BYTES = 256 * 1024
"""Small tensors that lie together make one chunk of at most so many bytes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of a chunk are."""

    path: Path
    offset: int
    size_bytes: int

    def read(self) -> bytes:
        """Returns them."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size_bytes)


def index_folder(folder: Path, name: str, version: str) -> tuple[Index, dict[str, Place]]:
    """Returns the index of all files in a folder, and where each chunk is.

    Args:
        folder: with files alone.
        name: of the model, or of whatever it is.
        version: of it.

    Raises:
        InvalidRequest: RELEASE_INVALID, the folder is not fit to be released.
    """
    cuts = tensor_cuts(folder)
    files: list[IndexFile] = []
    places: dict[str, Place] = {}
    for path in sorted(folder.iterdir(), key=lambda item: item.name):
        if path.is_symlink() or not path.is_file():
            raise invalid_release(f"{path} is no plain file")
        file, found = index_file(path, cuts.get(path.name, ()))
        files.append(file)
        places.update(found)
    index = Index(FORMAT_VERSION, name, version, tuple(files))
    Index.from_json(index.to_json())
    return index, places


def tensor_cuts(folder: Path) -> dict[str, list[int]]:
    """Returns where tensors begin and end, by the name of the file that holds them. None without a model."""
    if not (folder / MODEL_FILE).is_file():
        return {}
    import onnx  # takes a second, and what is no model needs it not

    cuts: dict[str, list[int]] = {}
    for tensor in onnx.load(str(folder / MODEL_FILE), load_external_data=False).graph.initializer:
        where = {entry.key: entry.value for entry in tensor.external_data}
        if where:
            offset = int(where.get("offset", "0"))
            cuts.setdefault(where["location"], []).extend((offset, offset + int(where.get("length", "0"))))
    return cuts


def spans(size_bytes: int, cuts: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yields where each chunk of a file begins and ends: in order, all bytes, none twice."""
    edges = sorted({0, size_bytes, *(cut for cut in cuts if 0 < cut < size_bytes)})
    group = 0
    for begin, end in pairwise(edges):
        if group < begin and end - group > GROUP_BYTES:
            yield group, begin
            group = begin
        if end - begin > GROUP_BYTES:
            yield from ((start, min(start + MAX_CHUNK_BYTES, end)) for start in range(begin, end, MAX_CHUNK_BYTES))
            group = end
    if group < size_bytes:
        yield group, size_bytes


def index_file(path: Path, cuts: Iterable[int]) -> tuple[IndexFile, dict[str, Place]]:
    """Returns a file's entry in an index, and where each chunk is.

    Args:
        path: of it.
        cuts: where tensors begin and end.
    """
    whole, chunks, places = hashlib.sha256(), [], {}
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        for begin, end in spans(size_bytes, cuts):
            content = file.read(end - begin)
            whole.update(content)
            digest = hashlib.sha256(content).hexdigest()
            chunks.append(Chunk(digest, len(content)))
            places[digest] = Place(path, begin, len(content))
    return IndexFile(path.name, whole.hexdigest(), size_bytes, tuple(chunks)), places
