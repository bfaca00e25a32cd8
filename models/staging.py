"""A release that is signed but not published: one file, to which more signatures can be added on other machines."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata, Root, Targets
from tuf.api.serialization import DeserializationError

from contract.release import Index, invalid_release
from models.trust import write_whole

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Staged:
    """Metadata, and the files of the targets that are new in them.

    Args:
        role: whose metadata; empty: they are a file of the ceremony.
        metadata: signed by some keys, perhaps not yet by enough.
        targets: by path.
    """

    role: str
    metadata: Metadata[Any]
    targets: Mapping[str, bytes] = field(default_factory=dict)


def read(path: Path) -> Staged:
    """Reads a staged release, or metadata alone.

    Raises:
        InvalidRequest: RELEASE_INVALID, it is neither.
    """
    content = path.read_bytes()
    try:
        outer = json.loads(content)
        if "signed" in outer:
            return Staged("", Metadata.from_bytes(content))
        if outer["format"] != FORMAT:
            raise ValueError("another version has written it")
        targets = {str(name): base64.b64decode(text, validate=True) for name, text in outer["targets"].items()}
        return Staged(str(outer["role"]), Metadata.from_bytes(base64.b64decode(outer["metadata"], validate=True)), targets)
    except (DeserializationError, ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise invalid_release(f"{path} is neither metadata nor a staged release") from error


def write(path: Path, staged: Staged) -> None:
    """Writes it in the form that it was read in."""
    metadata = staged.metadata.to_bytes()
    if not staged.role:
        write_whole(path, metadata)
        return
    targets = {name: base64.b64encode(content).decode() for name, content in staged.targets.items()}
    content = {"format": FORMAT, "role": staged.role, "metadata": base64.b64encode(metadata).decode(), "targets": targets}
    write_whole(path, json.dumps(content, indent=1, sort_keys=True).encode())


def describe(staged: Staged) -> list[str]:
    """Returns what it says, for a person who is to sign it."""
    signed = staged.metadata.signed
    lines = [f"{staged.role or signed.type} version {signed.version}, good until {signed.expires:%Y-%m-%d %H:%M} UTC"]
    lines.append(f"signed by: {' '.join(key_id[:12] for key_id in staged.metadata.signatures) or 'nobody'}")
    if isinstance(signed, Root):
        lines += [f"{name}: {role.threshold} of {' '.join(key_id[:12] for key_id in role.keyids)}" for name, role in signed.roles.items()]
    elif isinstance(signed, Targets):
        delegated = (signed.delegations.roles if signed.delegations else None) or {}
        lines += [f"{name}: {role.threshold} of {' '.join(key_id[:12] for key_id in role.keyids)}" for name, role in delegated.items()]
        lines += [f"{path}: {target.length} bytes, {target.hashes}" for path, target in sorted(signed.targets.items())]
    return [*lines, *(_described(path, content) for path, content in sorted(staged.targets.items()))]


def _described(path: str, content: bytes) -> str:
    index = Index.from_json(content)
    files = ", ".join(f"{file.name} {file.sha256}" for file in index.files)
    return f"new: {path}: {len(index.files)} files, {index.size_bytes()} bytes: {files}"
