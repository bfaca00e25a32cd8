"""What a model bundle is: a folder whose `bundle.json` names every other file with its size and digest.

This module knows the form; reading and hashing files is done where files are (`agent/inference/loading.py`, `models/`).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from contract.errors import InvalidRequest, Reason

FORMAT_VERSION = 1
BUNDLE_FILE = "bundle.json"
MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of the bundle."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where the weights come from: a package of an index with its digest, or a hub's repository and revision."""

    kind: str
    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that a runtime needs before it opens the graph. Key/value buffers are float32 [slots, kv_heads, context, head_dim]."""

    layers: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context_tokens: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model, ready to load.

    Args:
        name: the model's id, as in `models/{model}`.
        version: of this build of it.
        precision: how the weights are stored: `int8`, `int4-exact`, `int4-columns`, `float32`.
        license: SPDX id.
        chat_template: Jinja text; rendered in a sandbox.
        stop_token_ids: any of them ends an answer.
        files: every file but `bundle.json` itself, by name; names hold no separators.
    """

    name: str
    version: str
    precision: str
    license: str
    source: Source
    shape: Shape
    chat_template: str
    stop_token_ids: tuple[int, ...]
    files: Mapping[str, FileEntry]

    def to_json(self) -> bytes:
        """Returns the bytes of `bundle.json`: sorted keys, so that equal bundles have equal bytes."""
        content = {"format_version": FORMAT_VERSION, **asdict(self), "files": {name: asdict(entry) for name, entry in self.files.items()}}
        return json.dumps(content, indent=1, sort_keys=True).encode() + b"\n"

    def digest(self) -> str:
        """Returns `sha256:…` of `bundle.json`; through the digests in it, it names every byte of the model."""
        return "sha256:" + hashlib.sha256(self.to_json()).hexdigest()

    @classmethod
    def from_json(cls, text: bytes) -> "Bundle":
        """Reads and checks `bundle.json`.

        Raises:
            InvalidRequest: BUNDLE_INVALID, with what is wrong.
        """
        try:
            content = json.loads(text)
            if _positive(content["format_version"]) != FORMAT_VERSION:
                raise _invalid(f"format_version is {content['format_version']!r}, this version reads {FORMAT_VERSION}")
            return cls(
                name=_matching(_NAME, content["name"], "name"),
                version=_matching(_NAME, content["version"], "version"),
                precision=_text(content["precision"]),
                license=_text(content["license"]),
                source=Source(**{key: _text(value) for key, value in content["source"].items()}),
                shape=Shape(**{key: _positive(value) for key, value in content["shape"].items()}),
                chat_template=_text(content["chat_template"]),
                stop_token_ids=tuple(_not_negative(item) for item in content["stop_token_ids"]),
                files={_matching(_FILE_NAME, name, "file name"): _file_entry(entry) for name, entry in content["files"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise _invalid(f"{type(error).__name__}: {str(error)[:200]}") from error


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.BUNDLE_INVALID, f"{BUNDLE_FILE} cannot be read: {why}. Build the bundle again, or fetch it anew.")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _matching(pattern: re.Pattern[str], value: Any, what: str) -> str:
    if not pattern.fullmatch(_text(value)):
        raise ValueError(f"{what} {value[:80]!r} is not allowed")
    return str(value)


def _not_negative(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r} is no whole number from 0")
    return value


def _positive(value: Any) -> int:
    if _not_negative(value) == 0:
        raise ValueError("0 is too small")
    return int(value)


def _file_entry(value: Any) -> FileEntry:
    return FileEntry(sha256=_matching(_SHA256, value["sha256"], "sha256"), size_bytes=_not_negative(value["size_bytes"]))
