"""Our references against each other, and the whole evaluation, on a small random model in the real llama.cpp."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind

from contract.bundle import Source
from contract.errors import InvalidRequest
from models.blocks import Precision
from models.build import build_bundle
from models.evaluation.dequantized import DequantizedScorer
from models.evaluation.llama_cpp import LlamaCppScorer, ReferenceFailed
from models.evaluation.report import evaluate
from models.progress import Quiet
from models.recipes import TEMPLATE_FROM_GGUF, Recipe
from tests.fakes.tiny_gguf import TinyGguf, vocabulary

CONTEXT_TOKENS = 64
PLAIN_TOKEN = vocabulary().index("a")
TEXT = "hello world, 12 hells\n" * 2 + "Zwölf 🙂 "
KEYS = {
    "perplexity",
    "perplexity_llama_cpp",
    "perplexity_ratio",
    "agreement_llama_cpp",
    "agreement_dequantized",
    "decode_tokens_per_second",
    "prefill_tokens_per_second",
}
SOURCE = Source(kind="python-package", name="tiny-model", version="1.0", sha256="0" * 64)
RECIPE = Recipe("tiny", "1.0", "MIT", SOURCE, "", "", "", CONTEXT_TOKENS, TEMPLATE_FROM_GGUF, ("<|im_end|>",))


def random_window(tokens: int) -> tuple[int, ...]:
    return tuple(int(token) for token in np.random.default_rng(1).integers(3, len(vocabulary()), tokens))


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return TinyGguf().write(tmp_path / "tiny.gguf")


@pytest.fixture
def bundle(tmp_path: Path, gguf: Path) -> Path:
    build_bundle(RECIPE, gguf, Precision.INT8, tmp_path / "tiny", Quiet())
    return tmp_path / "tiny"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path / "text.txt"


@pytest.mark.parametrize("kind", [Kind.Q4_1, Kind.Q8_0, Kind.F16])
def test_llama_cpp_and_the_dequantized_weights_say_the_same(tmp_path: Path, kind: Kind) -> None:
    path = TinyGguf(kind=kind).write(tmp_path / "tiny.gguf")
    windows = [random_window(40), random_window(12)]
    theirs = LlamaCppScorer(path, CONTEXT_TOKENS, len(vocabulary()), PLAIN_TOKEN).score(windows, Quiet())
    exact = DequantizedScorer(path).score(windows, Quiet())
    assert len(theirs.best) == len(exact.best) == 39 + 11
    np.testing.assert_allclose(theirs.log_probabilities, exact.log_probabilities, atol=0.2)
    assert theirs.agreement(exact) > 0.85


def test_a_bundle_is_measured_against_both(bundle: Path, gguf: Path, text: Path) -> None:
    figures = json.loads(evaluate(bundle, gguf, text, 1, time.perf_counter, Quiet()).to_json())
    assert set(figures) >= KEYS
    assert figures["perplexity_ratio"] == pytest.approx(figures["perplexity"] / figures["perplexity_llama_cpp"])
    assert figures["perplexity_ratio"] == pytest.approx(1, abs=0.05)
    assert figures["perplexity_dequantized"] == pytest.approx(figures["perplexity_llama_cpp"], rel=0.05)
    assert min(figures["agreement_llama_cpp"], figures["agreement_dequantized"]) > 0.85
    assert min(figures["decode_tokens_per_second"], figures["prefill_tokens_per_second"]) > 0


def test_another_models_weights_do_not_agree(tmp_path: Path, bundle: Path, text: Path) -> None:
    other = TinyGguf(seed=8).write(tmp_path / "other.gguf")
    figures = evaluate(bundle, other, text, 1, time.perf_counter, Quiet())
    assert figures.agreement_dequantized is not None
    assert figures.agreement_llama_cpp is not None
    assert max(figures.agreement_dequantized, figures.agreement_llama_cpp) < 0.3


def test_without_a_gguf_file_the_bundle_alone_is_measured(bundle: Path, text: Path) -> None:
    figures = evaluate(bundle, None, text, 1, time.perf_counter, Quiet())
    assert figures.perplexity > 1
    assert figures.perplexity_llama_cpp is figures.agreement_dequantized is None


def test_a_text_that_is_none_is_refused(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidRequest, match=r"bytes.txt is no UTF-8 text"):
        evaluate(bundle, None, tmp_path / "bytes.txt", 1, time.perf_counter, Quiet())


@pytest.mark.parametrize("content", ["", "a"])
def test_a_text_too_short_to_foretell_anything_is_refused(tmp_path: Path, bundle: Path, content: str) -> None:
    (tmp_path / "short.txt").write_text(content)
    with pytest.raises(InvalidRequest, match=r"at least 2 can be scored"):
        evaluate(bundle, None, tmp_path / "short.txt", 1, time.perf_counter, Quiet())


def test_a_damaged_bundle_is_not_measured(bundle: Path, text: Path) -> None:
    (bundle / "model.onnx").unlink()
    with pytest.raises(InvalidRequest, match=r"model.onnx is missing"):
        evaluate(bundle, None, text, 1, time.perf_counter, Quiet())


def test_a_file_that_llama_cpp_cannot_load_is_an_error_of_ours(text: Path) -> None:
    with pytest.raises(ReferenceFailed, match=r"llama.cpp cannot load text.txt"):
        LlamaCppScorer(text, CONTEXT_TOKENS, len(vocabulary()), PLAIN_TOKEN)


def test_a_window_longer_than_the_context_is_an_error_and_not_a_wrong_figure(gguf: Path) -> None:
    scorer = LlamaCppScorer(gguf, 256, len(vocabulary()), PLAIN_TOKEN)
    with pytest.raises(ReferenceFailed, match=r"llama.cpp refuses"):
        scorer.score([random_window(300)], Quiet())
