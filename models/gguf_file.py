"""Reads a Llama model out of a GGUF file: its sizes, its weights, its vocabulary."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from contract.errors import InvalidRequest, Reason
from models.blocks import Floats, Matrix
from models.errors import unsupported
from models.llama import LlamaShape, rotary_frequencies


class GgufFile:
    """A GGUF file of architecture `llama`; the weights stay on disk until asked for. Implements LlamaWeights.

    Raises:
        InvalidRequest: MODEL_SOURCE_INVALID: not a whole GGUF file, or a model that the graph cannot express.
    """

    def __init__(self, path: Path) -> None:
        with _unreadable(path):
            self._reader = gguf.GGUFReader(path)
            self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}
            self._check()
            self.shape = self._shape()
            self._check_names()

    @property
    def tied(self) -> bool:
        """Whether the token embedding is the output matrix too."""
        return "output.weight" not in self._tensors

    def field(self, key: str, default: Any = None) -> Any:
        """Returns a metadata value, or the default where the file has none."""
        return self._reader.fields[key].contents() if key in self._reader.fields else default

    def matrix(self, name: str) -> Matrix:
        """Returns a matrix; the rows of q and k in the order that LlamaWeights asks for."""
        tensor = self._tensors[f"{name}.weight"]
        raw = np.asarray(tensor.data)
        if name.endswith("attn_q"):
            raw = raw[_rotary_rows(self.shape.heads, self.shape.head_dim)]
        elif name.endswith("attn_k"):
            raw = raw[_rotary_rows(self.shape.kv_heads, self.shape.head_dim)]
        return Matrix(raw, tensor.tensor_type)

    def vector(self, name: str) -> Floats:
        """Returns the weights of a norm."""
        return np.asarray(self._tensors[f"{name}.weight"].data, np.float32)

    def _check(self) -> None:
        """Refuses what would be read as a plain Llama and is none."""
        if (architecture := self.field("general.architecture")) != "llama":
            raise unsupported(f"its architecture is {architecture!r}, and only 'llama' is read")
        heads = self.field("llama.attention.head_count")
        head_dim = self.field("llama.attention.key_length", self.field("llama.embedding_length") // heads)
        scaled = self.field("llama.rope.scaling.type", "none") != "none" or "rope_freqs.weight" in self._tensors
        if scaled or self.field("llama.rope.dimension_count", head_dim) != head_dim:
            raise unsupported("its rotary embedding is partial or scaled")

    def _shape(self) -> LlamaShape:
        hidden, heads = self.field("llama.embedding_length"), self.field("llama.attention.head_count")
        head_dim = self.field("llama.attention.key_length", hidden // heads)
        return LlamaShape(
            layers=self.field("llama.block_count"),
            hidden=hidden,
            feed_forward=self.field("llama.feed_forward_length"),
            heads=heads,
            kv_heads=self.field("llama.attention.head_count_kv", heads),
            head_dim=head_dim,
            vocabulary=self._tensors["token_embd.weight"].data.shape[0],
            context_tokens=self.field("llama.context_length"),
            epsilon=self.field("llama.attention.layer_norm_rms_epsilon"),
            inverse_frequencies=rotary_frequencies(self.field("llama.rope.freq_base", 10000.0), head_dim),
        )

    def _check_names(self) -> None:
        """Refuses tensors that the graph has no place for, such as biases: leaving one out gives another model."""
        layer = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")
        wanted = {f"blk.{index}.{name}.weight" for index in range(self.shape.layers) for name in layer}
        wanted |= {"token_embd.weight", "output_norm.weight"}
        if missing := wanted - set(self._tensors):
            raise unsupported(f"it lacks the tensors {sorted(missing)[:3]}")
        if unknown := set(self._tensors) - wanted - {"output.weight"}:
            raise unsupported(f"it has tensors that the graph has no place for: {sorted(unknown)[:3]}")


@contextmanager
def _unreadable(path: Path) -> Iterator[None]:
    """Turns what the gguf package raises at a broken file into ours."""
    try:
        yield
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, UnicodeDecodeError, struct.error) as error:
        why = f"{path.name} is no whole GGUF file ({type(error).__name__}: {str(error)[:120]}). Fetch it again."
        raise InvalidRequest(Reason.MODEL_SOURCE_INVALID, why) from error


def _rotary_rows(heads: int, head_dim: int) -> NDArray[np.int64]:
    """The row order that undoes llama.cpp's interleaving of the rotary halves (`permute` in its converter)."""
    rows = np.arange(heads * head_dim).reshape(heads, head_dim // 2, 2)
    return rows.swapaxes(1, 2).reshape(-1)
