"""Makes a graph that optimum exported into one that the agent's engine runs: see llama_graph.py for what it binds.

optimum's graph takes a past of just the right length and returns it grown; where rows differ in length, a mask says which columns count.
Ours keeps the past in place. So in front of the graph the mask and the positions are computed from the rows' lengths, and the past is cut
to the longest row; behind it the new keys and values are written to where each row ends:

    past      = total_sequence_length - S              columns of the past that the graph sees; new token i is column past + i
    start[b]  = max(seqlens_k[b] + 1 - S, 0)           where row b's new tokens begin
    mask[b,c] = c < start[b] or (c >= past and c - past + start[b] <= seqlens_k[b])

The cost is a copy of the past at each step, which GroupQueryAttention does not need: such a graph is slower than our own.
"""

from collections.abc import Sequence
from typing import Any

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from contract.bundle import Shape
from models.errors import unsupported
from models.llama_graph import LOGITS, interface

_PAST = "past_key_values."
_MADE_HERE = ("attention_mask", "position_ids")
_PRODUCTS = ("MatMul", "MatMulNBits")


def adapt(model: ModelProto, context_tokens: int) -> Shape:
    """Changes an exported graph in place.

    Args:
        model: optimum's export of the task `text-generation-with-past`.
        context_tokens: how many tokens the bundle will take.

    Returns:
        The sizes that the engine needs.

    Raises:
        InvalidRequest: MODEL_SOURCE_INVALID: it has inputs of another kind.
    """
    graph = model.graph
    shape = _shape(graph, context_tokens)
    nodes = [*_before(shape.layers), *_with_wanted(graph.node), *_after(shape.layers)]
    inputs, outputs = interface(shape.layers, shape.kv_heads, shape.head_dim, shape.vocabulary)
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.input.extend(inputs)
    graph.output.extend(outputs)
    return shape


def _shape(graph: GraphProto, context_tokens: int) -> Shape:
    """Reads the sizes, and refuses inputs and caches of a form that is not known."""
    pasts = [value for value in graph.input if value.name.startswith(_PAST)]
    others = {value.name for value in graph.input} - {value.name for value in pasts} - {"input_ids", *_MADE_HERE}
    sizes = {tuple(_fixed(value)[1::2]) for value in pasts}
    if others or len(sizes) != 1 or len(pasts) % 2:
        raise unsupported(f"its cache has the sizes {sorted(sizes)}, its further inputs are {sorted(others)}")
    kv_heads, head_dim = sizes.pop()
    vocabulary = next(_fixed(value)[-1] for value in graph.output if value.name == LOGITS)
    return Shape(layers=len(pasts) // 2, kv_heads=kv_heads, head_dim=head_dim, vocabulary=vocabulary, context_tokens=context_tokens)


def _fixed(value: ValueInfoProto) -> list[int]:
    """Returns the sizes of a tensor's axes, 0 for those that vary."""
    return [axis.dim_value for axis in value.type.tensor_type.shape.dim]


def _with_wanted(nodes: Sequence[NodeProto]) -> list[NodeProto]:
    """Picks the wanted positions: before the output product where the logits come straight from one, behind it elsewhere."""
    nodes = list(nodes)
    index = next(index for index, node in enumerate(nodes) if LOGITS in node.output)
    last = nodes[index]
    pick = [_node("Constant", [], "last_axis", value_ints=[-1]), _node("Unsqueeze", ["last_index", "last_axis"], "wanted_index")]
    if last.op_type in _PRODUCTS:
        pick.append(_node("GatherND", [last.input[0], "wanted_index"], "wanted_x", batch_dims=1))
        last.input[0] = "wanted_x"
        return [*nodes[:index], *pick, *nodes[index:]]
    last.output[list(last.output).index(LOGITS)] = "all_logits"
    pick.append(_node("GatherND", ["all_logits", "wanted_index"], LOGITS, batch_dims=1))
    return [*nodes, *pick]


def _before(layers: int) -> list[NodeProto]:
    """Nodes from the engine's inputs to the exported graph's."""
    constants = {"minus_one": [-1], "zero": [0], "one": [1], "two": [2]}
    nodes = [_node("Constant", [], f"seawall/{name}", value_ints=value) for name, value in constants.items()]
    nodes += [
        _node("Constant", [], "seawall/scalar_zero", value_int=0),
        _node("Constant", [], "seawall/scalar_one", value_int=1),
        _node("Shape", ["input_ids"], "seawall/new", start=1, end=2),
        _node("Cast", ["total_sequence_length"], "seawall/total", to=TensorProto.INT64),
        _node("Sub", ["seawall/total", "seawall/new"], "seawall/past"),
        _node("Cast", ["seqlens_k"], "seawall/flat_last", to=TensorProto.INT64),
        _node("Unsqueeze", ["seawall/flat_last", "seawall/one"], "seawall/last"),
        _node("Add", ["seawall/last", "seawall/one"], "seawall/length"),
        _node("Sub", ["seawall/length", "seawall/new"], "seawall/unpadded_start"),
        _node("Max", ["seawall/unpadded_start", "seawall/zero"], "seawall/start"),
        *_range("seawall/new", "seawall/steps"),
        _node("Add", ["seawall/start", "seawall/steps"], "position_ids"),
        *_range("seawall/total", "seawall/columns"),
        _node("Less", ["seawall/columns", "seawall/start"], "seawall/past_counts"),
        _node("Sub", ["seawall/columns", "seawall/past"], "seawall/new_columns"),
        _node("GreaterOrEqual", ["seawall/columns", "seawall/past"], "seawall/is_new"),
        _node("Add", ["seawall/new_columns", "seawall/start"], "seawall/new_positions"),
        _node("LessOrEqual", ["seawall/new_positions", "seawall/last"], "seawall/is_valid"),
        _node("And", ["seawall/is_new", "seawall/is_valid"], "seawall/new_counts"),
        _node("Or", ["seawall/past_counts", "seawall/new_counts"], "seawall/counts"),
        _node("Cast", ["seawall/counts"], "attention_mask", to=TensorProto.INT64),
    ]
    cut = ["seawall/zero", "seawall/past", "seawall/two"]
    return nodes + [_node("Slice", [f"past_{kind}.{layer}", *cut], f"{_PAST}{layer}.{kind}") for layer, kind in _caches(layers)]


def _after(layers: int) -> list[NodeProto]:
    """Nodes from the exported graph's grown caches to ours: the new columns go to where each row ends."""
    nodes = [
        _node("Unsqueeze", ["position_ids", "seawall/one"], "seawall/positions_of_heads"),
        _node("Unsqueeze", ["seawall/positions_of_heads", "seawall/minus_one"], "seawall/positions"),
    ]
    cut = ["seawall/past", "seawall/total", "seawall/two"]
    for layer, kind in _caches(layers):
        new, at = f"seawall/new_{kind}.{layer}", f"seawall/{kind}.{layer}"
        nodes += [
            _node("Slice", [f"present.{layer}.{kind}", *cut], new),
            _node("Shape", [new], f"{at}/shape"),
            _node("Expand", ["seawall/positions", f"{at}/shape"], f"{at}/positions"),
            _node("ScatterElements", [f"past_{kind}.{layer}", f"{at}/positions", new], f"present_{kind}.{layer}", axis=2),
        ]
    return nodes


def _range(limit: str, output: str) -> list[NodeProto]:
    """Counts from 0 to below a limit, int64 [1] -> [limit]."""
    scalar = _node("Squeeze", [limit, "seawall/zero"], f"{output}/limit")
    return [scalar, _node("Range", ["seawall/scalar_zero", f"{output}/limit", "seawall/scalar_one"], output)]


def _caches(layers: int) -> list[tuple[int, str]]:
    return [(layer, kind) for layer in range(layers) for kind in ("key", "value")]


def _node(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(operator, inputs, [output], name=f"{output}/{operator}", **attributes)
