"""Makes the weights of a graph that optimum exported 8-bit, in the same blocks of 32 as in our own graph."""

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from models.blocks import BLOCK, Bytes, Floats, quantize_int8
from models.errors import unsupported
from models.graph import LOOK_UP_ATTRIBUTES, MICROSOFT, product_attributes


def quantize(graph: GraphProto) -> None:
    """Makes products with a constant float32 matrix, and look-ups in one, 8-bit, in place.

    A matrix whose rows are no multiple of 32 stays as it is.

    Raises:
        InvalidRequest: MODEL_SOURCE_INVALID: there is no product to replace, so that the model would not be 8-bit.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    nodes = [_quantized(node, constants, graph) for node in graph.node]
    if not any(node.op_type == "MatMulNBits" for node in nodes):
        raise unsupported("its graph has no matrix product with a constant")
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unused(graph)


def _quantized(node: NodeProto, constants: dict[str, TensorProto], graph: GraphProto) -> NodeProto:
    """Returns the 8-bit node that does the same, or the node itself."""
    rows = _table(node, constants) if node.op_type == "Gather" else _rows(node, constants)
    if rows is None or rows.shape[1] % BLOCK:
        return node
    return _look_up(node, rows, graph) if node.op_type == "Gather" else _product(node, rows, graph)


def _table(node: NodeProto, constants: dict[str, TensorProto]) -> Floats | None:
    """Returns the table that a node takes rows of, such as the embedding, or None where it is no such look-up."""
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    if axis != 0 or node.input[0] not in constants or len(constants[node.input[0]].dims) != 2:
        return None
    return numpy_helper.to_array(constants[node.input[0]])


def _rows(node: NodeProto, constants: dict[str, TensorProto]) -> Floats | None:
    """Returns the matrix [outputs, inputs] that a node multiplies by, or None where it is no such product."""
    if node.op_type not in ("MatMul", "Gemm") or node.input[1] not in constants:
        return None
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if attributes.get("transA") or attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0:
        return None
    values = numpy_helper.to_array(constants[node.input[1]])
    matrix = values if attributes.get("transB") else np.swapaxes(values, -1, -2)
    return np.ascontiguousarray(matrix) if matrix.ndim == 2 else None


def _product(node: NodeProto, rows: Floats, graph: GraphProto) -> NodeProto:
    """A MatMulNBits; a Gemm's bias stays."""
    name, weight = node.output[0], quantize_int8(rows)
    packed, scales = _stored(weight.packed, weight.scales, name, graph)
    inputs = [node.input[0], packed, scales]
    if node.op_type == "Gemm" and len(node.input) == 3 and node.input[2]:
        inputs += ["", "", node.input[2]]
    return _node("MatMulNBits", inputs, name, product_attributes(weight))


def _look_up(node: NodeProto, rows: Floats, graph: GraphProto) -> NodeProto:
    name, weight = node.output[0], quantize_int8(rows)
    packed, scales = _stored(weight.packed.reshape(rows.shape), weight.scales, name, graph)
    return _node("GatherBlockQuantized", [packed, node.input[1], scales], name, LOOK_UP_ATTRIBUTES)


def _stored(packed: Bytes, scales: Floats, name: str, graph: GraphProto) -> tuple[str, str]:
    names = f"{name}.packed", f"{name}.scales"
    graph.initializer.extend([numpy_helper.from_array(packed, names[0]), numpy_helper.from_array(scales, names[1])])
    return names


def _node(operator: str, inputs: list[str], output: str, attributes: dict[str, int]) -> NodeProto:
    node = helper.make_node(operator, inputs, [output], name=f"{output}/{operator}", domain=MICROSOFT)
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
    return node


def _drop_unused(graph: GraphProto) -> None:
    """Removes the float matrices that nothing reads any more."""
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
