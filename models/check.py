"""Compares a bundle's graph with the float32 graph that optimum exported of the same model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from agent.inference.session import ModelSession
from contract.bundle import Shape
from models.blocks import Floats
from models.errors import unsupported

LEAST_SIMILARITY = 0.9
"""Cosine between the logits, less their mean. 8 bits cost a thousandth of it, 4 bits some hundredths, a wrong graph nearly all."""

_TOKENS = 48
_DECODED_TOKENS = 8


def check_against_export(model_file: Path, shape: Shape, exported: Path, token_ids: Sequence[int]) -> float:
    """Feeds both the same tokens, ours first several at once and then one by one, as an answer comes about.

    Args:
        model_file: the bundle's graph.
        shape: its sizes.
        exported: optimum's graph.
        token_ids: of some text.

    Returns:
        The mean cosine.

    Raises:
        InvalidRequest: MODEL_SOURCE_INVALID: the two differ by more than rounding.
    """
    tokens = list(token_ids[: min(_TOKENS, shape.context_tokens)])
    similarity = float(_cosines(_ours(model_file, shape, tokens), _exported(exported, shape, tokens)).mean())
    if not similarity >= LEAST_SIMILARITY:
        raise unsupported(f"the graph that was written differs from the model's own: similarity {similarity:.3f} of 1")
    return similarity


def _ours(model_file: Path, shape: Shape, tokens: Sequence[int]) -> Floats:
    session = ModelSession(model_file, shape, rows=1, context_tokens=len(tokens), threads=1)
    read = max(len(tokens) - _DECODED_TOKENS, 1)
    logits = [session.extend(0, tokens[:read], 0, read).copy()]
    logits += [session.decode([tokens[length]], [length]).copy() for length in range(read, len(tokens))]
    return np.concatenate(logits)


def _exported(path: Path, shape: Shape, tokens: Sequence[int]) -> Floats:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    values: dict[str, NDArray[np.generic]] = {
        "input_ids": np.array([tokens], np.int64),
        "attention_mask": np.ones((1, len(tokens)), np.int64),
        "position_ids": np.arange(len(tokens), dtype=np.int64)[None],
    }
    empty = np.zeros((1, shape.kv_heads, 0, shape.head_dim), np.float32)
    feeds = {value.name: values.get(value.name, empty) for value in session.get_inputs()}
    return np.asarray(session.run(["logits"], feeds)[0][0], np.float32)


def _cosines(left: Floats, right: Floats) -> Floats:
    left, right = (side - side.mean(axis=1, keepdims=True) for side in (left, right))
    return np.asarray((left * right).sum(axis=1) / (np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)), np.float32)
