"""A Llama model in another basis, in which it says the same and rounds better.

RMS norms without weights do not notice a turn of the residual stream, so every matrix that reads the stream or writes to it can be
turned beforehand, at no cost when the model runs; so can each head's values and what reads them (Ashkboos et al. 2024, "QuaRot:
Outlier-Free 4-Bit Inference in Rotated LLMs", section 4). Few channels of a trained stream are far larger than the rest, and spoil the
scale of whatever shares a block with them. Turned, all channels are about alike, and blocks may be wide.
"""

from math import sqrt
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray

from models.blocks import Floats, Matrix
from models.llama import LlamaShape, LlamaWeights

_SIGNS_SEED = 135
_READERS = {"attn_q": "attn_norm", "attn_k": "attn_norm", "attn_v": "attn_norm", "ffn_gate": "ffn_norm", "ffn_up": "ffn_norm"}
"""Matrices that read the stream, and the norm whose weights go into them."""


def turn(size: int) -> Floats:
    """Returns an orthogonal matrix, float32 [size, size], that spreads every channel over all.

    It is Hadamard's for the powers of two in `size` (Sylvester's construction) and the discrete cosine transform for the rest, behind
    signs that are drawn once and for all: a constant is spread too.
    """
    power = size & -size
    rest = size // power
    hadamard = np.ones((1, 1))
    while len(hadamard) < power:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]]) / sqrt(2)
    rows, columns = np.arange(rest)[:, None], np.arange(rest)[None, :]
    cosine = np.cos(np.pi * rows * (2 * columns + 1) / (2 * rest)) * sqrt(2 / rest)
    cosine[0] /= sqrt(2)
    signs = np.random.default_rng(_SIGNS_SEED).choice([-1.0, 1.0], size)
    return np.asarray(np.kron(cosine, hadamard) * signs, np.float32)


class TurnedLlama:
    """The same model, turned. Implements LlamaWeights; the embedding and the output matrix are two.

    Args:
        weights: of the model as it was trained.
    """

    tied = False

    def __init__(self, weights: LlamaWeights) -> None:
        self._weights = weights
        self._stream = turn(weights.shape.hidden)
        self._head = turn(weights.shape.head_dim)

    @property
    def shape(self) -> LlamaShape:
        """The sizes, which do not change."""
        return self._weights.shape

    def matrix(self, name: str) -> Matrix:
        """Returns a turned matrix, in float32."""
        return Matrix(np.asarray(self._turned(name), np.float32), Kind.F32)

    def vector(self, name: str) -> Floats:
        """Returns a norm's weights, all of which are one."""
        return np.ones_like(self._weights.vector(name))

    def _turned(self, name: str) -> NDArray[np.floating[Any]]:
        if name == "token_embd":
            return self._values(name) @ self._stream.T
        if name == "output":
            values = self._values("token_embd" if self._weights.tied else name)
            return (values * self._weights.vector("output_norm")) @ self._stream.T
        block, _, part = name.rpartition(".")
        if part in _READERS:
            reading = (self._values(name) * self._weights.vector(f"{block}.{_READERS[part]}")) @ self._stream.T
            return self._turned_heads(reading) if part == "attn_v" else reading
        writing = self._values(name)
        return self._stream @ (self._turned_heads(writing.T).T if part == "attn_output" else writing)

    def _turned_heads(self, values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Turns what each head has, [heads * head_dim, n]."""
        heads = values.reshape(-1, self.shape.head_dim, values.shape[1])
        return (self._head @ heads).reshape(values.shape)

    def _values(self, name: str) -> Floats:
        return self._weights.matrix(name).values()
