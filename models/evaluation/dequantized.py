"""A reference by the textbook: the GGUF's weights as float32, one matrix product after the other, in numpy.

Shares nothing with the graph that is measured: it reads the file by itself, and rotates q and k where they lie, interleaved as
llama.cpp stores them. Vaswani et al. (attention), Su et al. (rotary embedding), Zhang and Sennrich (RMS norm), Shazeer (SwiGLU).
"""

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np

from models.blocks import Floats
from models.evaluation.scores import Scores, Window, joined, of_logits
from models.progress import Progress


class DequantizedScorer:
    """A GGUF Llama model in plain float32. One layer's weights are in memory at a time."""

    def __init__(self, path: Path) -> None:
        self._reader = gguf.GGUFReader(path)
        self._tensors = {tensor.name.removesuffix(".weight"): tensor for tensor in self._reader.tensors}
        self._heads = int(self._field("attention.head_count"))
        self._kv_heads = int(self._field("attention.head_count_kv"))
        self._epsilon = self._field("attention.layer_norm_rms_epsilon")
        self._base = self._field("rope.freq_base")

    def score(self, windows: Sequence[Window], progress: Progress) -> Scores:
        """Scores all windows."""
        table = self._weight("token_embd")
        states = [table[list(window[:-1])] for window in windows]
        for layer in progress.over("Dequantized weights", range(int(self._field("block_count")))):
            states = self._layer(states, f"blk.{layer}.")
        output = self._weight("output") if "output" in self._tensors else table
        normed = (self._norm(x, "output_norm") for x in states)
        return joined(of_logits(x @ output.T, window[1:]) for x, window in zip(normed, windows, strict=True))

    def _layer(self, states: Sequence[Floats], at: str) -> list[Floats]:
        kinds = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
        q, k, v, o, gate, up, down = (self._weight(at + kind).T for kind in kinds)
        after = []
        for state in states:
            x = self._norm(state, f"{at}attn_norm")
            state = state + self._attend(x @ q, x @ k, x @ v) @ o  # noqa: PLW2901  the residual stream is what walks through
            x = self._norm(state, f"{at}ffn_norm")
            gated = x @ gate
            after.append(state + (gated / (1 + np.exp(-gated)) * (x @ up)) @ down)
        return after

    def _attend(self, q: Floats, k: Floats, v: Floats) -> Floats:
        """Causal attention; each head of k and v serves several of q."""
        length, width = q.shape
        q = self._rotate(q.reshape(length, self._heads, -1))
        share = self._heads // self._kv_heads
        k = np.repeat(self._rotate(k.reshape(length, self._kv_heads, -1)), share, axis=1)
        v = np.repeat(v.reshape(length, self._kv_heads, -1), share, axis=1)
        scores = np.einsum("qhd,khd->hqk", q, k, optimize=True) / np.sqrt(np.float32(width // self._heads))
        scores = np.where(np.tri(length, dtype=bool), scores, np.float32(-np.inf))
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return np.asarray(np.einsum("hqk,khd->qhd", weights, v, optimize=True).reshape(length, width), np.float32)

    def _rotate(self, x: Floats) -> Floats:
        """Turns each pair of neighbouring values, [positions, heads, head_dim], by its angle."""
        pairs = np.ascontiguousarray(x).view(np.complex64)
        frequencies = self._base ** (-np.arange(pairs.shape[-1]) / pairs.shape[-1])
        angles = np.outer(np.arange(len(x)), frequencies)[:, None, :]
        return (pairs * np.exp(1j * angles).astype(np.complex64)).view(np.float32)

    def _norm(self, x: Floats, name: str) -> Floats:
        return np.asarray(x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(self._epsilon)) * self._weight(name), np.float32)

    def _weight(self, name: str) -> Floats:
        tensor = self._tensors[name]
        return np.asarray(gguf.quants.dequantize(tensor.data, tensor.tensor_type), np.float32)

    def _field(self, key: str) -> float:
        return float(self._reader.fields[f"llama.{key}"].contents())
