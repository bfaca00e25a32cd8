"""Versions of the real model that was built, for tests that publish them."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from random import Random

from contract.bundle import BUNDLE_FILE

BUNDLE = Path(__file__).resolve().parents[2] / "build" / "models" / "smollm2-135m-instruct-int8"
NOISED_BYTES = 4_000_000


def repackaged(folder: Path, *, noise: bool) -> Path:
    """The model again under another version; with noise, in the middle of its weights."""
    shutil.copytree(BUNDLE, folder, copy_function=os.link)
    content = json.loads((BUNDLE / BUNDLE_FILE).read_text()) | {"version": folder.name}
    if noise:
        name = "model.onnx.data"
        weights = bytearray((BUNDLE / name).read_bytes())
        middle = len(weights) // 2
        weights[middle : middle + NOISED_BYTES] = Random(1).randbytes(NOISED_BYTES)
        (folder / name).unlink()
        (folder / name).write_bytes(weights)
        content["files"][name]["sha256"] = hashlib.sha256(weights).hexdigest()
    (folder / BUNDLE_FILE).unlink()
    (folder / BUNDLE_FILE).write_text(json.dumps(content))
    return folder
