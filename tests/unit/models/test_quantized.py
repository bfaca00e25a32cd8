from collections.abc import Sequence

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from contract.errors import InvalidRequest
from models.blocks import Floats
from models.graph import MICROSOFT
from models.quantized import quantize

RANDOM = np.random.default_rng(2)
X = RANDOM.standard_normal((3, 64)).astype(np.float32)
WEIGHT = RANDOM.standard_normal((64, 24)).astype(np.float32)
BIAS = RANDOM.standard_normal(24).astype(np.float32)
IDS = np.array([[5, 0, 63]])


def model(node: NodeProto, x: NDArray[np.generic], constants: Sequence[Floats]) -> ModelProto:
    """One node, whose first input that is no constant is x."""
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    names = [name for name in node.input if name not in ("x", "")]
    tensors = [numpy_helper.from_array(array, name) for name, array in zip(names, constants, strict=True)]
    inputs, outputs = [helper.make_tensor_value_info("x", kind, None)], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph([node], "one", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid(MICROSOFT, 1)], ir_version=10)


def run(graph: ModelProto, x: NDArray[np.generic]) -> Floats:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": x})[0], np.float32)


@pytest.mark.parametrize(
    ("node", "x", "constants", "operator"),
    [
        (helper.make_node("MatMul", ["x", "w"], ["y"]), X, [WEIGHT], "MatMulNBits"),
        (helper.make_node("Gemm", ["x", "w", "b"], ["y"]), X, [WEIGHT, BIAS], "MatMulNBits"),
        (helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1), X, [WEIGHT.T.copy(), BIAS], "MatMulNBits"),
        (helper.make_node("Gemm", ["x", "w"], ["y"]), X, [WEIGHT], "MatMulNBits"),
    ],
    ids=["MatMul", "Gemm", "Gemm with transB", "Gemm without bias"],
)
def test_a_product_with_a_constant_becomes_8_bit(node: NodeProto, x: Floats, constants: list[Floats], operator: str) -> None:
    graph = model(node, x, constants)
    exact = run(graph, x)
    quantize(graph.graph)
    assert [node.op_type for node in graph.graph.node] == [operator]
    assert "w" not in {tensor.name for tensor in graph.graph.initializer}
    np.testing.assert_allclose(run(graph, x), exact, atol=0.3)
    assert np.abs(run(graph, x) - exact).mean() < 0.1


def test_a_look_up_becomes_8_bit() -> None:
    table = RANDOM.standard_normal((64, 32)).astype(np.float32)
    graph = model(helper.make_node("Gather", ["w", "x"], ["y"]), IDS, [table])
    graph.graph.node.append(helper.make_node("MatMul", ["y", "w2"], ["z"]))
    graph.graph.initializer.append(numpy_helper.from_array(WEIGHT[:32], "w2"))
    quantize(graph.graph)
    assert [node.op_type for node in graph.graph.node] == ["GatherBlockQuantized", "MatMulNBits"]
    np.testing.assert_allclose(run(graph, IDS), table[IDS], atol=0.02)


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Gemm", ["x", "w"], ["y"], alpha=0.5),
        helper.make_node("Gemm", ["x", "w"], ["y"], transA=1),
        helper.make_node("Add", ["x", "w"], ["y"]),
    ],
)
def test_a_graph_without_a_product_that_is_known_is_refused(node: NodeProto) -> None:
    with pytest.raises(InvalidRequest, match="no matrix product with a constant"):
        quantize(model(node, X, [WEIGHT]).graph)


def test_a_matrix_whose_rows_are_no_multiple_of_32_stays_as_it_is() -> None:
    graph = model(helper.make_node("MatMul", ["x", "w"], ["y"]), X, [WEIGHT])
    graph.graph.node.append(helper.make_node("MatMul", ["y", "narrow"], ["z"]))
    graph.graph.initializer.append(numpy_helper.from_array(WEIGHT[:24], "narrow"))
    quantize(graph.graph)
    assert [node.op_type for node in graph.graph.node] == ["MatMulNBits", "MatMul"]
