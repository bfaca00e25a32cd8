"""Writes the trained tagger as an int8 ONNX graph; see models.minilm.graph."""

from collections.abc import Mapping
from pathlib import Path

from models.minilm.graph import Array, Graph, embedded, encoded

POSITIONS = 192


def export(state: Mapping[str, Array], out: Path) -> None:
    """Writes the graph: `ids` and `shapes` [1, tokens] in, `logits` [1, tokens, labels] out.

    Args:
        state: the trained weights, by the names of models.detector.network.Tagger.
        out: the file.
    """
    graph = Graph()
    words = embedded(graph, state, POSITIONS)
    forms = graph.node("Gather", [graph.weight("forms.table", state["shapes.weight"]), "shapes"], "forms")
    states = encoded(graph, graph.node("Add", [words, forms], "embedded"), state)
    scores = graph.node("MatMul", [states, graph.weight("head.weight", state["head.weight"].T)], "scores")
    graph.node("Add", [scores, graph.weight("head.bias", state["head.bias"])], "logits")
    labels = len(state["head.bias"])
    graph.write("tagger", {"ids": [1, "tokens"], "shapes": [1, "tokens"]}, {"logits": [1, "tokens", labels]}, out)
