"""What a model's products multiply by: the second moments of their inputs, which rounding makes use of.

They are measured on text that the model writes itself, a token drawn at random in front (Liu et al. 2023, "LLM-QAT: Data-Free Quantization
Aware Training for Large Language Models", section 2.1): it is what the model will be run on, in whatever languages it knows. Moments of a
large model take gigabytes, so the layers are measured some at a time, and the text is read once for each such group.
"""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from agent.inference.machine import processors
from agent.inference.session import ModelSession
from contract.bundle import MODEL_FILE, Shape
from models.blocks import Floats
from models.llama import LlamaShape
from models.llama_graph import INPUT_OF_OUTPUT, inputs_of_products
from models.progress import Progress

_ROWS, _ROUNDS, _WINDOW_TOKENS = 8, 4, 512
"""Of the text: 16,384 tokens in 32 windows."""

_SEED = 17
MOST_BYTES = 512 << 20
"""Of moments in memory."""


def write_text(folder: Path, shape: Shape, progress: Progress) -> list[list[int]]:
    """Returns windows of token ids, all of one length, that a model writes.

    Args:
        folder: of the graph.
        shape: its sizes.
        progress: is told of each token.
    """
    random = np.random.default_rng(_SEED)
    length = min(_WINDOW_TOKENS, shape.context_tokens)
    session = ModelSession(folder / MODEL_FILE, shape, _ROWS, length, processors())
    windows: list[list[int]] = []
    for number in range(_ROUNDS):
        rows = [[int(token)] for token in random.integers(shape.vocabulary, size=_ROWS)]
        for position in progress.over(f"Writing text {number + 1} of {_ROUNDS}", range(length - 1)):
            logits = session.decode([row[-1] for row in rows], [position] * _ROWS)
            for row, token in zip(rows, _drawn(logits, random), strict=True):
                row.append(int(token))
        windows += rows
    return windows


class Moments:
    """The moments of a graph's products.

    Args:
        folder: of the graph; another file is written beside it.
        shape: the model's sizes.
        windows: token ids.
        progress: is told of each window.
        most_bytes: that the moments take in memory; a layer's own are held whatever they take.
    """

    def __init__(
        self,
        folder: Path,
        shape: LlamaShape,
        windows: Sequence[Sequence[int]],
        progress: Progress,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._shape, self._windows, self._progress, self._most_bytes = shape, windows, progress, most_bytes
        self._groups = [*(inputs_of_products(layer) for layer in range(shape.layers)), INPUT_OF_OUTPUT]
        self._session = _open(folder, [tensor for group in self._groups for tensor in group.values()])
        self._held: dict[str, Floats] = {}

    def of(self, product: str) -> Floats:
        """Returns the mean of `x x^T` over all tokens, float32 [columns, columns]. Cheapest in the order of the graph."""
        if product not in self._held:
            self._held = {}  # before more is measured
            first = next(number for number, group in enumerate(self._groups) if product in group)
            self._held = self._measured(first)
        return self._held[product]

    def _measured(self, first: int) -> dict[str, Floats]:
        """Reads the text once; measures the layer, and as many behind it as there is room for."""
        inputs = self._inputs(first)
        sums: dict[str, Floats] = {}
        for window in self._progress.over(f"Reading it from layer {first} on", self._windows):
            for product, x in zip(inputs, self._session.run(list(inputs.values()), self._feed(window)), strict=True):
                rows = x.reshape(-1, x.shape[-1])
                sums[product] = sums.get(product, np.float32(0)) + rows.T @ rows
        tokens = np.float32(sum(map(len, self._windows)))
        return {product: total / tokens for product, total in sums.items()}

    def _inputs(self, first: int) -> dict[str, str]:
        taken = accumulate(sum(self._bytes(tensor) for tensor in group.values()) for group in self._groups[first:])
        count = max(1, sum(size <= self._most_bytes for size in taken))
        return {product: tensor for group in self._groups[first : first + count] for product, tensor in group.items()}

    def _bytes(self, tensor: str) -> int:
        columns = self._shape.feed_forward if tensor.endswith("feed_forward") else self._shape.hidden
        return columns * columns * np.dtype(np.float32).itemsize

    def _feed(self, window: Sequence[int]) -> dict[str, NDArray[np.generic]]:
        """A window from its beginning, all positions wanted."""
        length, shape = len(window), self._shape
        empty = np.zeros((1, shape.kv_heads, 0, shape.head_dim), np.float32)
        past = {f"past_{kind}.{layer}": empty for layer in range(shape.layers) for kind in ("key", "value")}
        return {
            "input_ids": np.array([window], np.int64),
            "seqlens_k": np.array([length - 1], np.int32),
            "total_sequence_length": np.array([length], np.int32),
            "last_index": np.arange(length, dtype=np.int64)[None],
            **past,
        }


def _open(folder: Path, tensors: Sequence[str]) -> onnxruntime.InferenceSession:
    """Opens a graph that has more outputs."""
    graph = onnx.load(folder / MODEL_FILE, load_external_data=False)
    graph.graph.output.extend(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None) for tensor in tensors)
    path = folder / f"measured-{MODEL_FILE}"
    onnx.save(graph, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = processors()
    options.enable_mem_pattern = False  # as the agent's session, and for the same reason
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _drawn(logits: Floats, random: np.random.Generator) -> NDArray[np.int64]:
    """Draws a token for each row, by adding Gumbel noise to its logits (Maddison et al. 2014, "A* Sampling", section 2)."""
    return np.asarray((logits + random.gumbel(size=logits.shape)).argmax(axis=1), np.int64)
