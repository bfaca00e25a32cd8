"""Writes an ONNX graph node by node, its weights streamed into one external data file."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper

from models.blocks import BLOCK, BlockWeight, Precision
from models.columns import with_offset_columns

MICROSOFT = "com.microsoft"
"""The domain of onnxruntime's own operators."""

OPSET = 21
IR_VERSION = 10
LOOK_UP_ATTRIBUTES = {"bits": 8, "block_size": BLOCK, "gather_axis": 0, "quantize_axis": 1}
"""What a GatherBlockQuantized node says of an 8-bit table."""

_ALIGNMENT_BYTES = 64
_INTEGER_PRODUCTS = 4
"""MatMulNBits' `accuracy_level` 4: x is rounded to 8 bits in blocks too, which is what makes it fast."""


def product_attributes(weight: BlockWeight) -> dict[str, int]:
    """Returns what a MatMulNBits node says of its weight."""
    sizes = {"K": weight.columns, "N": weight.rows, "bits": weight.bits, "block_size": weight.block}
    return sizes | {"accuracy_level": _INTEGER_PRODUCTS}


class GraphWriter:
    """Collects nodes; use it as a context manager, which closes the data file.

    Args:
        data_path: the external data file; its name is written into the graph.
        precision: decides where the offsets of 4-bit blocks go.
    """

    def __init__(self, data_path: Path, precision: Precision) -> None:
        self._nodes: list[NodeProto] = []
        self._initializers: list[TensorProto] = []
        self._shared: set[str] = set()
        self._precision = precision
        self._name = data_path.name
        self._data = data_path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._data.close()

    def constant(self, name: str, array: NDArray[Any], alias: tuple[str, Sequence[int]] | None = None) -> str:
        """Appends an array to the data file.

        Args:
            name: of the initializer.
            array: its values.
            alias: name and shape of a second initializer over the same bytes.
        """
        array = np.ascontiguousarray(array)
        self._data.write(b"\0" * (-self._data.tell() % _ALIGNMENT_BYTES))
        place = {"location": self._name, "offset": self._data.tell(), "length": array.nbytes}
        self._data.write(array.data)
        for key, shape in [(name, array.shape), *([alias] if alias else [])]:
            data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
            tensor = TensorProto(name=key, dims=shape, data_location=TensorProto.EXTERNAL, data_type=data_type)
            for field, value in place.items():
                tensor.external_data.add(key=field, value=str(value))
            self._initializers.append(tensor)
        return name

    def node(self, operator: str, inputs: Sequence[str], outputs: str | Sequence[str], domain: str = "", **attributes: Any) -> str:
        """Adds a node and returns its first output."""
        names = [outputs] if isinstance(outputs, str) else list(outputs)
        self._nodes.append(helper.make_node(operator, inputs, names, name=f"{names[0]}/{operator}", domain=domain, **attributes))
        return names[0]

    def linear(self, x: str, weight: BlockWeight, name: str, output: str) -> str:
        """Adds `x @ weight.T`, offsets included: float32 [B, S, columns] -> [B, S, rows]."""
        if weight.offsets is None:
            return self.product(x, weight, name, output)
        if self._precision is Precision.INT4_COLUMNS:
            wide, copies = with_offset_columns(weight)
            return self.product(self._once("Concat", [x, *[self._means(x)] * copies], f"{x}/wide", axis=-1), wide, name, output)
        table = self.constant(f"{name}.offsets", weight.offsets.T * np.float32(BLOCK))
        side = self.node("MatMul", [self._means(x), table], f"{output}/side")
        return self.node("Add", [self.product(x, weight, name, f"{output}/main"), side], output)

    def product(self, x: str, weight: BlockWeight, name: str, output: str) -> str:
        """Adds one MatMulNBits, offsets left out."""
        self.constant(f"{name}.packed", weight.packed)
        self.constant(f"{name}.scales", weight.scales)
        return self.product_with(x, weight, name, output)

    def product_with(self, x: str, weight: BlockWeight, name: str, output: str) -> str:
        """Adds one MatMulNBits over the initializers `NAME.packed` and `NAME.scales`, which are there already."""
        return self.node("MatMulNBits", [x, f"{name}.packed", f"{name}.scales"], output, MICROSOFT, **product_attributes(weight))

    def write(self, path: Path, inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto]) -> None:
        """Writes the graph; the same nodes and weights give the same bytes."""
        graph = helper.make_graph(self._nodes, "llama", inputs, outputs, self._initializers)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opsets, producer_name="seawall")
        path.write_bytes(model.SerializeToString(deterministic=True))

    def _means(self, x: str) -> str:
        """The mean of every 32 consecutive features: [B, S, K] -> [B, S, K / 32]."""
        return self._once("AveragePool", [x], f"{x}/means", kernel_shape=[BLOCK], strides=[BLOCK])

    def _once(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """A node that several products share: made at its first use."""
        if output not in self._shared:
            self._shared.add(self.node(operator, inputs, output, **attributes))
        return output
