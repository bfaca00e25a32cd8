from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind

from agent.inference.session import ModelSession
from contract.bundle import MODEL_FILE, Shape
from models.blocks import Precision
from models.build import bundle_shape
from models.evaluation.dequantized import DequantizedScorer
from models.evaluation.scores import Scores, of_logits
from models.gguf_file import GgufFile
from models.llama_graph import write_llama
from models.progress import Quiet
from tests.fakes.tiny_gguf import TinyGguf, vocabulary

CONTEXT_TOKENS = 64
TOKENS = tuple(int(token) for token in np.random.default_rng(5).integers(3, len(vocabulary()), 48))


def written(folder: Path, tiny: TinyGguf, precision: Precision, rows: int = 1) -> tuple[ModelSession, Path]:
    """Writes a GGUF file, its graph beside it, and opens the graph."""
    source = GgufFile(tiny.write(folder / "tiny.gguf"))
    write_llama(source, precision, CONTEXT_TOKENS, folder / MODEL_FILE, Quiet())
    shape: Shape = bundle_shape(source.shape, CONTEXT_TOKENS)
    return ModelSession(folder / MODEL_FILE, shape, rows, CONTEXT_TOKENS, threads=1), folder / "tiny.gguf"


def scored(session: ModelSession) -> Scores:
    return of_logits(session.extend(0, TOKENS[:-1], 0, len(TOKENS) - 1), TOKENS[1:])


def error(ours: Scores, exact: Scores) -> float:
    return float(np.abs(ours.log_probabilities - exact.log_probabilities).mean())


@pytest.mark.parametrize("kind", [Kind.Q8_0, Kind.Q4_0, Kind.Q4_1])
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("tied", [True, False])
def test_the_graph_says_what_the_weights_say(tmp_path: Path, kind: Kind, precision: Precision, tied: bool) -> None:
    session, gguf = written(tmp_path, TinyGguf(kind=kind, tied=tied), precision)
    ours, exact = scored(session), DequantizedScorer(gguf).score([TOKENS], Quiet())
    assert error(ours, exact) < 0.06
    assert ours.agreement(exact) > 0.85


@pytest.mark.parametrize(("precision", "as_if"), [(Precision.INT8, Kind.F32), (Precision.INT4_EXACT, Kind.Q4_1)])
def test_float_weights_are_rounded_once(tmp_path: Path, precision: Precision, as_if: Kind) -> None:
    session, _ = written(tmp_path, TinyGguf(kind=Kind.F32), precision)
    exact = DequantizedScorer(TinyGguf(kind=as_if).write(tmp_path / "as_if.gguf")).score([TOKENS], Quiet())
    assert error(scored(session), exact) < 0.08


def test_the_comparison_above_finds_a_wrong_rotary_embedding(tmp_path: Path) -> None:
    source = GgufFile(TinyGguf().write(tmp_path / "tiny.gguf"))
    source.shape = replace(source.shape, inverse_frequencies=source.shape.inverse_frequencies[::-1])
    write_llama(source, Precision.INT8, CONTEXT_TOKENS, tmp_path / MODEL_FILE, Quiet())
    session = ModelSession(tmp_path / MODEL_FILE, bundle_shape(source.shape, CONTEXT_TOKENS), 1, CONTEXT_TOKENS, threads=1)
    exact = DequantizedScorer(tmp_path / "tiny.gguf").score([TOKENS], Quiet())
    assert error(scored(session), exact) > 0.5


@pytest.mark.parametrize("precision", Precision)
def test_tokens_one_by_one_give_what_all_at_once_give(tmp_path: Path, precision: Precision) -> None:
    session, _ = written(tmp_path, TinyGguf(), precision)
    at_once = session.extend(0, TOKENS, 0, len(TOKENS)).copy()
    one_by_one = [session.decode([token], [length])[0].copy() for length, token in enumerate(TOKENS)]
    np.testing.assert_allclose(np.stack(one_by_one), at_once, atol=0.5)
    assert (np.stack(one_by_one).argmax(axis=1) == at_once.argmax(axis=1)).mean() > 0.9


def test_the_logits_of_some_positions_are_those_of_all_at_these_positions(tmp_path: Path) -> None:
    session, _ = written(tmp_path, TinyGguf(), Precision.INT8)
    of_all = session.extend(0, TOKENS, 0, len(TOKENS)).copy()
    np.testing.assert_allclose(session.extend(0, TOKENS, 0, 5), of_all[-5:], atol=1e-4)


def test_rows_of_different_lengths_do_not_disturb_each_other(tmp_path: Path) -> None:
    session, _ = written(tmp_path, TinyGguf(), Precision.INT8, rows=3)
    starts, alone = [7, 20, 13], []
    for row, start in enumerate(starts):
        session.extend(row, TOKENS[row : row + start], 0)
    for row, start in enumerate(starts):
        alone.append(session.extend(row, [TOKENS[-row]], start)[0].copy())
    together = session.decode([TOKENS[-row] for row in range(3)], starts)
    np.testing.assert_allclose(together, np.stack(alone), atol=0.3)


@pytest.mark.parametrize("precision", Precision)
def test_the_same_file_gives_the_same_bytes(tmp_path: Path, precision: Precision) -> None:
    contents = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        written(folder, TinyGguf(), precision)
        contents.append([(folder / file).read_bytes() for file in (MODEL_FILE, f"{MODEL_FILE}.data")])
    assert contents[0] == contents[1]
