"""MiniLM's encoder as an int8 ONNX graph: a scale for each row of the vocabulary and for each column of a matrix.

The matrices keep to 7 bits, since products of 8 by 8 bits overflow the 16 that processors without VNNI add them in (ONNX Runtime, "Quantize
ONNX models", on U8S8).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

HEADS = 12
EPSILON = 1e-12

_MICROSOFT = "com.microsoft"
_MATRIX_MOST = 63
_VOCABULARY_MOST = 127

Array = npt.NDArray[np.float32]
Shape = list[int | str]


class Graph:
    """The nodes and weights written so far."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, value: npt.NDArray[np.generic]) -> str:
        """Adds a weight, and returns its name."""
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: list[str], name: str, domain: str = "", outputs: list[str] | None = None, **attributes: Any) -> str:
        """Adds a node, and returns the name of its first output, which is its own unless `outputs` says others."""
        self.nodes.append(helper.make_node(kind, inputs, outputs or [name], name=name, domain=domain, **attributes))
        return name

    def linear(self, states: str, name: str, weight: Array, bias: Array) -> str:
        """Multiplies by an int8 matrix [out, in]; the states are quantized as they come."""
        quantized, scale = _quantized(weight, _MATRIX_MOST)
        inputs = [
            states,
            self.weight(f"{name}.weight", quantized.T),
            self.weight(f"{name}.scale", scale[:, 0]),
            "",
            self.weight(f"{name}.bias", bias),
        ]
        return self.node("DynamicQuantizeMatMul", inputs, name, _MICROSOFT)

    def normed(self, states: str, skip: str, name: str, state: Mapping[str, Array]) -> str:
        """Adds two, and brings the sum to one length."""
        inputs = [states, skip, self.weight(f"{name}.weight", state[f"{name}.weight"]), self.weight(f"{name}.bias", state[f"{name}.bias"])]
        return self.node("SkipLayerNormalization", inputs, name, _MICROSOFT, epsilon=EPSILON)

    def write(self, name: str, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape], out: Path) -> None:
        """Writes the file, the same bytes each time.

        Args:
            name: of the graph.
            inputs: the shape of each, in whole numbers.
            outputs: the shape of each, in floats.
            out: the file.
        """
        given = [helper.make_tensor_value_info(each, TensorProto.INT64, shape) for each, shape in inputs.items()]
        made = [helper.make_tensor_value_info(each, TensorProto.FLOAT, shape) for each, shape in outputs.items()]
        model = helper.make_model(
            helper.make_graph(self.nodes, name, given, made, self.weights),
            opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid(_MICROSOFT, 1)],
            ir_version=10,
            producer_name="seawall",
        )
        out.write_bytes(model.SerializeToString(deterministic=True))


def embedded(graph: Graph, state: Mapping[str, Array], positions: int) -> str:
    """Adds what tokens mean, and where they stand, to the graph.

    Args:
        graph: whose input `ids` is [1, tokens].
        state: the weights by our names.
        positions: no text has more tokens.
    """
    words, scale = _quantized(state["words.weight"], _VOCABULARY_MOST)
    rows = graph.node("Gather", [graph.weight("words", words), "ids"], "rows")
    scales = graph.node("Gather", [graph.weight("words.scale", scale), "ids"], "scales")
    meaning = graph.node("Mul", [graph.node("Cast", [rows], "cast", to=TensorProto.FLOAT), scales], "meaning")
    sizes = graph.node("Shape", ["ids"], "length", start=1)
    bounds = [graph.weight("zero", np.array([0])), sizes, graph.weight("axis", np.array([0]))]
    places = graph.node("Slice", [graph.weight("positions", state["positions.weight"][:positions]), *bounds], "places")
    placed = graph.node("Add", [meaning, places], "placed")
    norm = [graph.weight(f"words_norm.{part}", state[f"words_norm.{part}"]) for part in ("weight", "bias")]
    return graph.node("LayerNormalization", [placed, *norm], "words_norm", axis=-1, epsilon=EPSILON)


def encoded(graph: Graph, states: str, state: Mapping[str, Array]) -> str:
    """Adds the layers that there are weights for. Returns the last one's states [1, tokens, hidden]."""
    for number in range(sum(name.endswith("query.weight") for name in state)):
        states = _layer(graph, states, f"layers.{number}", state)
    return states


def _layer(graph: Graph, states: str, name: str, state: Mapping[str, Array]) -> str:
    weight, bias = (np.concatenate([state[f"{name}.{part}.{kind}"] for part in ("query", "key", "value")]) for kind in ("weight", "bias"))
    packed = graph.linear(states, f"{name}.packed", weight, bias)
    parts = [f"{name}.{part}" for part in ("query", "key", "value")]
    graph.node("Split", [packed], f"{name}.split", outputs=parts, axis=-1, num_outputs=3)
    mixed = graph.node("MultiHeadAttention", parts, f"{name}.attention", _MICROSOFT, num_heads=HEADS)
    mixed = graph.linear(mixed, f"{name}.mix", state[f"{name}.mix.weight"], state[f"{name}.mix.bias"])
    states = graph.normed(mixed, states, f"{name}.mix_norm", state)
    up = graph.linear(states, f"{name}.up", state[f"{name}.up.weight"], state[f"{name}.up.bias"])
    inner = graph.node("Gelu", [up], f"{name}.gelu", _MICROSOFT)
    down = graph.linear(inner, f"{name}.down", state[f"{name}.down.weight"], state[f"{name}.down.bias"])
    return graph.normed(down, states, f"{name}.down_norm", state)


def _quantized(weight: Array, most: int) -> tuple[npt.NDArray[np.int8], Array]:
    """Returns whole numbers and the scale of each row [rows, 1]."""
    scale = np.maximum(np.abs(weight).max(axis=1, keepdims=True), 1e-8) / most
    return np.rint(weight / scale).astype(np.int8), scale.astype(np.float32)
