"""What the graph of a Llama model needs to know of it, whatever file its weights lie in."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.blocks import Floats, Matrix


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """The sizes of a Llama model.

    Args:
        feed_forward: how wide the feed-forward part is.
        context_tokens: how many positions the model was trained for.
        epsilon: added under the root of every RMS norm.
        inverse_frequencies: of the rotary embedding, radians a position, float64 [head_dim / 2].
    """

    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context_tokens: int
    epsilon: float
    inverse_frequencies: NDArray[np.float64]


class LlamaWeights(Protocol):
    """The weights of a Llama model under GGUF's names, without their `.weight`.

    `token_embd`, `output_norm`, `output` unless tied, and in each layer `blk.I.` before `attn_norm`, `attn_q`, `attn_k`, `attn_v`,
    `attn_output`, `ffn_norm`, `ffn_gate`, `ffn_up`, `ffn_down`. The rows of `attn_q` and `attn_k` have each head's two rotary halves
    behind each other, not interleaved.
    """

    @property
    def shape(self) -> LlamaShape:
        """The sizes."""
        ...

    @property
    def tied(self) -> bool:
        """Whether the token embedding is the output matrix too."""
        ...

    def matrix(self, name: str) -> Matrix:
        """Returns a matrix, one row for each output."""
        ...

    def vector(self, name: str) -> Floats:
        """Returns the weights of a norm."""
        ...


def rotary_frequencies(base: float, head_dim: int) -> NDArray[np.float64]:
    """Returns the inverse frequencies of a plain rotary embedding (Su et al., RoFormer, equation 15)."""
    return np.asarray(base ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim), np.float64)
