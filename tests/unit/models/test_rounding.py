from pathlib import Path

import numpy as np
import onnx
import pytest
from gguf import GGMLQuantizationType as Kind

from agent.inference.session import ModelSession
from contract.bundle import MODEL_FILE
from models.blocks import Precision
from models.build import bundle_shape
from models.evaluation.dequantized import DequantizedScorer
from models.evaluation.scores import of_logits
from models.gguf_file import GgufFile
from models.progress import Quiet
from models.rounding import block_of, write_graph
from tests.fakes.tiny_gguf import TinyGguf, vocabulary

TOKENS = tuple(int(token) for token in np.random.default_rng(8).integers(3, len(vocabulary()), 48))


@pytest.mark.parametrize("kind", [Kind.Q8_0, Kind.Q4_1, Kind.F32])
@pytest.mark.parametrize("tied", [True, False])
def test_the_graph_says_what_the_weights_say(tmp_path: Path, kind: Kind, tied: bool) -> None:
    source = GgufFile(TinyGguf(kind=kind, tied=tied).write(tmp_path / "tiny.gguf"))
    shape = bundle_shape(source.shape, 64)
    (tmp_path / "bundle").mkdir()
    write_graph(source, Precision.INT8, shape, tmp_path / "bundle" / MODEL_FILE, Quiet())
    session = ModelSession(tmp_path / "bundle" / MODEL_FILE, shape, 1, 64, threads=1)
    ours = of_logits(session.extend(0, TOKENS[:-1], 0, len(TOKENS) - 1), TOKENS[1:])
    exact = DequantizedScorer(tmp_path / "tiny.gguf").score([TOKENS], Quiet())
    assert np.abs(ours.log_probabilities - exact.log_probabilities).mean() < 0.1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "tiny.gguf"]


@pytest.mark.parametrize(
    ("product", "columns", "block"), [("layer3.qkv", 576, 64), ("layer3.down", 1536, 32), ("output", 576, 64), ("layer0.qkv", 32, 32)]
)
def test_blocks_are_wide_where_inputs_are_turned(product: str, columns: int, block: int) -> None:
    assert block_of(product, columns) == block


def test_the_graph_has_the_same_nodes_as_one_that_is_not_turned(tmp_path: Path) -> None:
    source = GgufFile(TinyGguf(tied=False, kind=Kind.Q8_0).write(tmp_path / "tiny.gguf"))
    operators = []
    for precision in (Precision.INT8, Precision.INT4_EXACT):
        folder = tmp_path / precision
        folder.mkdir()
        write_graph(source, precision, bundle_shape(source.shape, 64), folder / MODEL_FILE, Quiet())
        operators.append([node.op_type for node in onnx.load(folder / MODEL_FILE, load_external_data=False).graph.node])
    assert operators[0] == operators[1]
