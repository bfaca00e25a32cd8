"""The ONNX graph of a Llama model, for onnxruntime's fused operators: GroupQueryAttention and MatMulNBits.

For B sequences of S new tokens each, with n positions of each whose logits are wanted:

    input_ids              int64 [B, S]  rows may be padded on the right in a first prefill
    seqlens_k              int32 [B]     valid tokens of the row after this run, minus 1
    total_sequence_length  int32 [1]     the maximum over the rows of seqlens_k + 1
    last_index             int64 [B, n]  positions in S whose logits are wanted
    past_key.I, past_value.I             float32 [B, kv_heads, max_length, head_dim]
    -> logits              float32 [B, n, vocabulary]
       present_key.I, present_value.I    bound to the memory of the past, they are updated in place

With a cache that is not empty, S > 1 needs B = 1. `max_length` is at most the context that the graph was written with.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from models.blocks import BlockWeight, Matrix, Precision, stack, to_blocks
from models.graph import LOOK_UP_ATTRIBUTES, MICROSOFT, GraphWriter
from models.llama import LlamaShape, LlamaWeights
from models.progress import Progress

LOGITS = "logits"

Rounding = Callable[[str, Sequence[Matrix]], BlockWeight]
"""Makes one weight of the matrices that a product multiplies by, below each other. Products are called `layerI.qkv`, `layerI.output`,
`layerI.gate_up`, `layerI.down`, and `output`."""


def inputs_of_products(layer: int) -> dict[str, str]:
    """Returns the tensors that a layer's products multiply, by the products' names."""
    at = f"layer{layer}"
    return {f"{at}.qkv": f"{at}/x", f"{at}.output": f"{at}/attention", f"{at}.gate_up": f"{at}/y", f"{at}.down": f"{at}/feed_forward"}


INPUT_OF_OUTPUT = {"output": "wanted_x"}
"""The same of the output matrix, where it is not the embedding."""


def write_llama(
    weights: LlamaWeights,
    precision: Precision,
    context_tokens: int,
    model_path: Path,
    progress: Progress,
    rounding: Rounding | None = None,
) -> None:
    """Writes `model_path` and, beside it, its weights as `model_path` with `.data` behind its name.

    Args:
        weights: where they come from.
        precision: how they are stored; the embedding and the output matrix are 8-bit in all of them.
        context_tokens: how many positions the rotary tables have.
        model_path: the graph's file.
        progress: is told of each layer.
        rounding: how; None: each matrix by itself.
    """
    with GraphWriter(model_path.with_name(f"{model_path.name}.data"), precision) as graph:
        _LlamaGraph(weights, rounding or _each_by_itself(precision), graph).build(context_tokens, progress)
    inputs, outputs = interface(weights.shape.layers, weights.shape.kv_heads, weights.shape.head_dim, weights.shape.vocabulary)
    graph.write(model_path, inputs, outputs)


def interface(layers: int, kv_heads: int, head_dim: int, vocabulary: int) -> tuple[list[ValueInfoProto], list[ValueInfoProto]]:
    """Returns the inputs and outputs that the agent's engine binds."""
    info = helper.make_tensor_value_info
    cache: list[str | int | None] = ["batch", kv_heads, "max_length", head_dim]
    caches = [f"{kind}.{layer}" for layer in range(layers) for kind in ("key", "value")]
    inputs = [
        info("input_ids", TensorProto.INT64, ["batch", "sequence"]),
        info("seqlens_k", TensorProto.INT32, ["batch"]),
        info("total_sequence_length", TensorProto.INT32, [1]),
        info("last_index", TensorProto.INT64, ["batch", "wanted"]),
    ]
    past = [info(f"past_{name}", TensorProto.FLOAT, cache) for name in caches]
    present = [info(f"present_{name}", TensorProto.FLOAT, cache) for name in caches]
    return inputs + past, [info(LOGITS, TensorProto.FLOAT, ["batch", "wanted", vocabulary]), *present]


class _LlamaGraph:
    """Adds the nodes of one model to one graph."""

    def __init__(self, weights: LlamaWeights, rounding: Rounding, graph: GraphWriter) -> None:
        self._weights, self._rounding, self._graph = weights, rounding, graph
        self._shape: LlamaShape = weights.shape

    def build(self, context_tokens: int, progress: Progress) -> None:
        """Adds all of it, from the token ids to the logits."""
        self._rotary_tables(context_tokens)
        embedding, residual = self._embed()
        x = self._norm(residual, "blk.0.attn_norm", "layer0/x")
        for layer in progress.over("Writing layers", range(self._shape.layers)):
            after = "output_norm" if layer + 1 == self._shape.layers else f"blk.{layer + 1}.attn_norm"
            x, residual = self._skip_norm(residual, self._attention(x, layer), f"blk.{layer}.ffn_norm", f"layer{layer}/y")
            x, residual = self._skip_norm(residual, self._feed_forward(x, layer), after, f"layer{layer + 1}/x")
        self._logits(x, embedding)

    def _rotary_tables(self, context_tokens: int) -> None:
        angles = np.outer(np.arange(context_tokens), self._shape.inverse_frequencies)
        self._graph.constant("cos_cache", np.cos(angles).astype(np.float32))
        self._graph.constant("sin_cache", np.sin(angles).astype(np.float32))

    def _embed(self) -> tuple[BlockWeight, str]:
        """Looks the tokens up; the table's bytes serve the output product too where the two are tied."""
        table = to_blocks(self._weights.matrix("token_embd"), Precision.INT8)
        rows = ("embedding.rows", (self._shape.vocabulary, self._shape.hidden))
        self._graph.constant("embedding.packed", table.packed, alias=rows)
        self._graph.constant("embedding.scales", table.scales)
        inputs = ["embedding.rows", "input_ids", "embedding.scales"]
        return table, self._graph.node("GatherBlockQuantized", inputs, "embedded", MICROSOFT, **LOOK_UP_ATTRIBUTES)

    def _attention(self, x: str, layer: int) -> str:
        """Queries, keys and values in one product; rotary attention over the cache; the output product."""
        at, block = f"layer{layer}", f"blk.{layer}."
        packed = self._product(x, f"{at}.qkv", f"{block}attn_q", f"{block}attn_k", f"{block}attn_v")
        past = [f"past_key.{layer}", f"past_value.{layer}"]
        inputs = [packed, "", "", *past, "seqlens_k", "total_sequence_length", "cos_cache", "sin_cache"]
        outputs = [f"{at}/attention", f"present_key.{layer}", f"present_value.{layer}"]
        heads = {"num_heads": self._shape.heads, "kv_num_heads": self._shape.kv_heads}
        mixed = self._graph.node("GroupQueryAttention", inputs, outputs, MICROSOFT, **heads, do_rotary=1)
        return self._product(mixed, f"{at}.output", f"{block}attn_output")

    def _feed_forward(self, x: str, layer: int) -> str:
        """`down(silu(gate(x)) * up(x))`, gate and up in one product. QuickGelu with alpha 1 is silu, fused."""
        at, block = f"layer{layer}", f"blk.{layer}."
        both = self._product(x, f"{at}.gate_up", f"{block}ffn_gate", f"{block}ffn_up")
        self._graph.node("Split", [both], [f"{at}/gate", f"{at}/up"], axis=-1, num_outputs=2)
        gated = self._graph.node("QuickGelu", [f"{at}/gate"], f"{at}/silu", MICROSOFT, alpha=1.0)
        wide = self._graph.node("Mul", [gated, f"{at}/up"], f"{at}/feed_forward")
        return self._product(wide, f"{at}.down", f"{block}ffn_down")

    def _logits(self, x: str, embedding: BlockWeight) -> None:
        """Picks the wanted positions, then multiplies them alone by the output matrix."""
        axis = self._graph.node("Constant", [], "last_axis", value_ints=[-1])
        index = self._graph.node("Unsqueeze", ["last_index", axis], "wanted_index")
        wanted = self._graph.node("GatherND", [x, index], "wanted_x", batch_dims=1)
        if self._weights.tied:
            self._graph.product_with(wanted, embedding, "embedding", LOGITS)
        else:
            self._graph.product(wanted, self._rounding("output", [self._weights.matrix("output")]), "output", LOGITS)

    def _norm(self, x: str, source: str, output: str) -> str:
        scale = self._graph.constant(source, self._weights.vector(source))
        return self._graph.node("SimplifiedLayerNormalization", [x, scale], output, epsilon=self._shape.epsilon, axis=-1, stash_type=1)

    def _skip_norm(self, residual: str, update: str, source: str, output: str) -> tuple[str, str]:
        """Adds the update to the residual; returns the norm of the sum, and the sum."""
        total, scale = f"{output}/residual", self._graph.constant(source, self._weights.vector(source))
        inputs, outputs = [residual, update, scale], [output, "", "", total]
        self._graph.node("SkipSimplifiedLayerNormalization", inputs, outputs, MICROSOFT, epsilon=self._shape.epsilon)
        return output, total

    def _product(self, x: str, name: str, *matrices: str) -> str:
        """The product with a matrix, or with several below each other."""
        weight = self._rounding(name, [self._weights.matrix(matrix) for matrix in matrices])
        return self._graph.linear(x, weight, name, name.replace(".", "/"))


def _each_by_itself(precision: Precision) -> Rounding:
    """Rounds by the matrix alone; the output matrix is 8-bit in all precisions, and of different bit widths all become 8-bit."""

    def rounded(name: str, matrices: Sequence[Matrix]) -> BlockWeight:
        parts = [to_blocks(matrix, Precision.INT8 if name == "output" else precision) for matrix in matrices]
        if len({part.bits for part in parts}) > 1:
            parts = [to_blocks(matrix, Precision.INT8) for matrix in matrices]
        return stack(parts)

    return rounded
