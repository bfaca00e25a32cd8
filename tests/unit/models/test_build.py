from dataclasses import replace
from pathlib import Path

import pytest

from agent.inference.loading import load_bundle
from contract.bundle import Source
from contract.errors import InvalidRequest
from models.blocks import Precision
from models.build import build_bundle
from models.progress import Quiet
from models.recipes import TEMPLATE_FROM_GGUF, Recipe
from tests.fakes.tiny_gguf import TEMPLATE, TinyGguf, vocabulary

SOURCE = Source(kind="python-package", name="tiny-model", version="1.0", sha256="0" * 64)
RECIPE = Recipe("tiny", "1.2.3", "MIT", SOURCE, "", "", "", 64, TEMPLATE_FROM_GGUF, ("<|im_end|>", "<|endoftext|>"))


@pytest.mark.parametrize("precision", Precision)
def test_a_bundle_says_what_it_is_and_verifies(tmp_path: Path, precision: Precision) -> None:
    built = build_bundle(RECIPE, TinyGguf().write(tmp_path / "tiny.gguf"), precision, tmp_path / "tiny", Quiet())
    bundle = load_bundle(tmp_path / "tiny")
    assert bundle == built
    assert (bundle.name, bundle.version, bundle.precision, bundle.license) == ("tiny", f"1.2.3-{precision}", precision, "MIT")
    assert bundle.source == SOURCE
    assert (bundle.shape.layers, bundle.shape.kv_heads, bundle.shape.head_dim) == (2, 2, 16)
    assert (bundle.shape.vocabulary, bundle.shape.context_tokens) == (len(vocabulary()), 64)
    assert bundle.chat_template == TEMPLATE
    assert bundle.stop_token_ids == (2, 0)
    assert sorted(bundle.files) == ["model.onnx", "model.onnx.data", "tokenizer.json"]


def test_building_twice_gives_the_same_bundle(tmp_path: Path) -> None:
    gguf = TinyGguf().write(tmp_path / "tiny.gguf")
    digests = {build_bundle(RECIPE, gguf, Precision.INT8, tmp_path / name, Quiet()).digest() for name in ("first", "second")}
    assert len(digests) == 1


def test_a_template_of_the_recipe_wins_over_the_files(tmp_path: Path) -> None:
    gguf = TinyGguf().write(tmp_path / "tiny.gguf")
    bundle = build_bundle(replace(RECIPE, chat_template="{{ messages }}"), gguf, Precision.INT8, tmp_path / "tiny", Quiet())
    assert bundle.chat_template == "{{ messages }}"


@pytest.mark.parametrize(
    ("tiny", "recipe", "says"),
    [
        (TinyGguf(template=None), RECIPE, "carries no chat template"),
        (TinyGguf(), replace(RECIPE, context_tokens=4096), "4096 tokens of context, it has 128"),
        (TinyGguf(), replace(RECIPE, stop_tokens=("<stop>",)), "vocabulary has no"),
    ],
)
def test_a_recipe_that_does_not_fit_its_file_leaves_no_bundle(tmp_path: Path, tiny: TinyGguf, recipe: Recipe, says: str) -> None:
    gguf = tiny.write(tmp_path / "tiny.gguf")
    with pytest.raises(InvalidRequest, match=says):
        build_bundle(recipe, gguf, Precision.INT8, tmp_path / "tiny", Quiet())
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.gguf"]
