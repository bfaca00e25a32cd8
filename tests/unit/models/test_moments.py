from pathlib import Path

import numpy as np
import pytest

from contract.bundle import MODEL_FILE
from models.blocks import Precision
from models.build import bundle_shape
from models.gguf_file import GgufFile
from models.llama_graph import write_llama
from models.moments import Moments, write_text
from models.progress import Quiet
from models.turning import TurnedLlama
from tests.fakes.tiny_gguf import CONTEXT, HIDDEN, LAYERS, WIDTH, TinyGguf, vocabulary

PRODUCTS = [*(f"layer{layer}.{part}" for layer in range(LAYERS) for part in ("qkv", "output", "gate_up", "down")), "output"]


@pytest.fixture
def model(tmp_path: Path) -> GgufFile:
    source = GgufFile(TinyGguf().write(tmp_path / "tiny.gguf"))
    write_llama(TurnedLlama(source), Precision.INT8, CONTEXT, tmp_path / MODEL_FILE, Quiet())
    return source


def test_the_model_writes_windows_of_one_length_and_the_same_again(tmp_path: Path, model: GgufFile) -> None:
    shape = bundle_shape(model.shape, 24)
    windows = write_text(tmp_path, shape, Quiet())
    assert len(windows) == 32
    assert {len(window) for window in windows} == {24}
    assert all(0 <= token < len(vocabulary()) for window in windows for token in window)
    assert len({tuple(window) for window in windows}) == 32
    assert write_text(tmp_path, shape, Quiet()) == windows


def test_every_product_has_moments_of_its_inputs(tmp_path: Path, model: GgufFile) -> None:
    moments = Moments(tmp_path, model.shape, [[5, 6, 7, 8, 9], [9, 8, 7]], Quiet())
    for product in PRODUCTS:
        columns = WIDTH if product.endswith("down") else HIDDEN
        of = moments.of(product)
        assert of.shape == (columns, columns)
        np.testing.assert_allclose(of, of.T, rtol=1e-3, atol=1e-4)
        assert np.linalg.eigvalsh(of.astype(np.float64)).min() > -1e-3
        assert np.trace(of) > 0


def test_moments_are_means_over_tokens(tmp_path: Path, model: GgufFile) -> None:
    """A norm without weights: every input of the first product has a mean square of one."""
    moments = Moments(tmp_path, model.shape, [[5, 6, 7, 8, 9], [9, 8, 7]], Quiet())
    assert np.trace(moments.of("layer0.qkv")) / HIDDEN == pytest.approx(1, rel=0.01)


def test_layers_that_are_measured_one_at_a_time_have_the_same_moments(tmp_path: Path, model: GgufFile) -> None:
    windows = [[5, 6, 7, 8, 9], [9, 8, 7]]
    at_once = Moments(tmp_path, model.shape, windows, Quiet())
    expected = {product: at_once.of(product) for product in PRODUCTS}
    one_by_one = Moments(tmp_path, model.shape, windows, Quiet(), most_bytes=1)
    for product in PRODUCTS:
        np.testing.assert_array_equal(one_by_one.of(product), expected[product])
