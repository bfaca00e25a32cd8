from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind

from agent.inference.session import ModelSession
from contract.bundle import MODEL_FILE
from models.blocks import Precision
from models.build import bundle_shape
from models.evaluation.dequantized import DequantizedScorer
from models.evaluation.scores import of_logits
from models.gguf_file import GgufFile
from models.llama_graph import write_llama
from models.progress import Quiet
from models.turning import TurnedLlama, turn
from tests.fakes.tiny_gguf import TinyGguf, vocabulary

TOKENS = tuple(int(token) for token in np.random.default_rng(6).integers(3, len(vocabulary()), 48))


@pytest.mark.parametrize("size", [1, 2, 9, 64, 96, 576])
def test_a_turn_keeps_lengths_and_angles(size: int) -> None:
    np.testing.assert_allclose(turn(size) @ turn(size).T, np.eye(size), atol=1e-5)


@pytest.mark.parametrize("size", [64, 576])
def test_one_channel_is_spread_over_all(size: int) -> None:
    spread = np.abs(turn(size)[:, 5]) * np.sqrt(size)
    assert spread.max() < 1.5
    assert (spread > 0.1).mean() > 0.8


def test_a_constant_is_spread_too() -> None:
    assert np.abs(turn(576) @ np.ones(576)).max() < 5


@pytest.mark.parametrize("tied", [True, False])
def test_a_turned_model_says_what_the_model_says(tmp_path: Path, tied: bool) -> None:
    source = GgufFile(TinyGguf(kind=Kind.F32, tied=tied).write(tmp_path / "tiny.gguf"))
    write_llama(TurnedLlama(source), Precision.INT8, 64, tmp_path / MODEL_FILE, Quiet())
    session = ModelSession(tmp_path / MODEL_FILE, bundle_shape(source.shape, 64), 1, 64, threads=1)
    ours = of_logits(session.extend(0, TOKENS[:-1], 0, len(TOKENS) - 1), TOKENS[1:])
    exact = DequantizedScorer(tmp_path / "tiny.gguf").score([TOKENS], Quiet())
    assert np.abs(ours.log_probabilities - exact.log_probabilities).mean() < 0.06


def test_weights_of_norms_have_gone_into_what_reads_them(tmp_path: Path) -> None:
    source = GgufFile(TinyGguf().write(tmp_path / "tiny.gguf"))
    turned = TurnedLlama(source)
    assert not np.all(source.vector("blk.0.attn_norm") == 1)
    assert np.all(turned.vector("blk.0.attn_norm") == 1)
    stream = turn(source.shape.hidden)
    expected = source.matrix("blk.0.attn_q").values() * source.vector("blk.0.attn_norm")
    np.testing.assert_allclose(turned.matrix("blk.0.attn_q").values() @ stream, expected, atol=1e-4)
