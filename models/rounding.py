"""The default precision: 8-bit weights, turned, in wide blocks, and rounded by what they are multiplied with.

Wide blocks make products faster, and everything at once faster still: the kernel turns each block's sum of integers into a float. In the
basis that a model was trained in they cost quality. See `turning.py` for the basis, `compensation.py` for the rounding,
`docs/adr/0028-turned-weights.md` for the figures.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contract.bundle import MODEL_FILE, Shape
from models.blocks import BLOCK, BlockWeight, Matrix, Precision
from models.compensation import round_compensated
from models.llama import LlamaWeights
from models.llama_graph import write_llama
from models.moments import Moments, write_text
from models.progress import Progress
from models.turning import TurnedLlama

WIDE_BLOCK = 64
"""In blocks of 128, ONNX Runtime 1.31 rounds a row otherwise when it is alone than when it is one of several, and an answer would depend on
how many others are being written."""

_NARROW = "down"
"""What it multiplies comes out of a product of two factors, element by element, and cannot be turned beforehand."""


def write_graph(weights: LlamaWeights, precision: Precision, shape: Shape, model_path: Path, progress: Progress) -> None:
    """Writes a Llama model's graph, and its weights beside it, as `write_llama` does.

    Args:
        weights: where they come from.
        precision: how they are stored.
        shape: the sizes, the context among them.
        model_path: the graph's file.
        progress: is told of each step.
    """
    if precision is Precision.INT8:
        _write_turned(weights, shape, model_path, progress)
    else:
        write_llama(weights, precision, shape.context_tokens, model_path, progress)


def block_of(product: str, columns: int) -> int:
    """Returns how many values of a product's weight share a scale."""
    return BLOCK if product.endswith(_NARROW) or columns < WIDE_BLOCK else WIDE_BLOCK


def _write_turned(weights: LlamaWeights, shape: Shape, model_path: Path, progress: Progress) -> None:
    turned = TurnedLlama(weights)
    with tempfile.TemporaryDirectory(prefix=".measured-", dir=model_path.parent.parent) as room:
        folder = Path(room)
        write_llama(turned, Precision.INT8, shape.context_tokens, folder / MODEL_FILE, progress)
        windows = write_text(folder, shape, progress)
        moments = Moments(folder, weights.shape, windows, progress)

        def rounded(name: str, matrices: Sequence[Matrix]) -> BlockWeight:
            values = np.concatenate([matrix.values() for matrix in matrices])
            return round_compensated(values, moments.of(name), block_of(name, values.shape[1]))

        write_llama(turned, Precision.INT8, shape.context_tokens, model_path, progress, rounded)
