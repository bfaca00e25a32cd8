"""Measures a bundle and its references on one text, and says it as a table and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.table import Table
from tokenizers import Tokenizer

from agent.inference.loading import load_bundle
from contract.bundle import TOKENIZER_FILE, Bundle
from contract.errors import InvalidRequest, Reason
from models.evaluation.bundled import BundleScorer, Clock
from models.evaluation.dequantized import DequantizedScorer
from models.evaluation.llama_cpp import LlamaCppScorer
from models.evaluation.scores import WINDOW_TOKENS, Window, windows
from models.gguf_file import GgufFile
from models.progress import Progress

TEXT = Path(__file__).with_name("alice-chapter-1.txt")


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured; what needs a GGUF file is None without one.

    Args:
        tokens: that were scored.
        perplexity_ratio: ours divided by llama.cpp's.
        agreement_llama_cpp: share of positions at which the likeliest token is the same, each given the true text.
        agreement_dequantized: the same with the GGUF's weights in float32.
    """

    model: str
    version: str
    digest: str
    text: str
    tokens: int
    perplexity: float
    decode_tokens_per_second: float
    prefill_tokens_per_second: float
    perplexity_llama_cpp: float | None = None
    perplexity_dequantized: float | None = None
    perplexity_ratio: float | None = None
    agreement_llama_cpp: float | None = None
    agreement_dequantized: float | None = None

    def to_json(self) -> str:
        """Returns one line of JSON."""
        return json.dumps(asdict(self))

    def table(self) -> Table:
        """Returns the same for people."""
        table = Table("figure", "value", title=f"{self.model} {self.version} on {self.text}")
        for key, value in asdict(self).items():
            if isinstance(value, float):
                table.add_row(key.replace("_", " "), f"{value:.4g}")
        return table


def evaluate(folder: Path, gguf: Path | None, text: Path, threads: int, clock: Clock, progress: Progress) -> Figures:
    """Measures a bundle.

    Args:
        folder: the bundle's; it is verified first.
        gguf: the file that its weights come from, for the references.
        text: UTF-8.
        threads: that compute.
        clock: seconds that only grow.
        progress: is told of each step.

    Raises:
        InvalidRequest: the bundle, the GGUF file or the text cannot be used.
        ReferenceFailed: llama.cpp does not answer.
    """
    bundle = load_bundle(folder)
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    scored = _windows(tokenizer, text, min(WINDOW_TOKENS, bundle.shape.context_tokens))
    ours = BundleScorer(folder, bundle.shape, threads, clock)
    scores, speed = ours.score(scored, progress), ours.speed(scored[0], progress)
    figures = Figures(
        model=bundle.name,
        version=bundle.version,
        digest=bundle.digest(),
        text=text.name,
        tokens=len(scores.best),
        perplexity=scores.perplexity(),
        decode_tokens_per_second=speed.decode,
        prefill_tokens_per_second=speed.prefill,
    )
    if gguf is None:
        return figures
    _check_same_vocabulary(gguf, bundle)
    plain_token = tokenizer.encode("a", add_special_tokens=False).ids[0]
    theirs = LlamaCppScorer(gguf, max(map(len, scored)), bundle.shape.vocabulary, plain_token).score(scored, progress)
    exact = DequantizedScorer(gguf).score(scored, progress)
    return replace(
        figures,
        perplexity_llama_cpp=theirs.perplexity(),
        perplexity_dequantized=exact.perplexity(),
        perplexity_ratio=scores.perplexity() / theirs.perplexity(),
        agreement_llama_cpp=scores.agreement(theirs),
        agreement_dequantized=scores.agreement(exact),
    )


def _windows(tokenizer: Tokenizer, text: Path, size: int) -> Sequence[Window]:
    try:
        content = text.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest(Reason.UTF8_INVALID, f"{text.name} is no UTF-8 text.") from error
    token_ids = tokenizer.encode(content, add_special_tokens=False).ids
    if len(token_ids) < 2:
        raise InvalidRequest(Reason.FIELD_INVALID, f"{text.name} has {len(token_ids)} tokens; at least 2 can be scored.")
    return windows(token_ids, size)


def _check_same_vocabulary(gguf: Path, bundle: Bundle) -> None:
    if (size := GgufFile(gguf).shape.vocabulary) != bundle.shape.vocabulary:
        why = f"{gguf.name} has a vocabulary of {size} tokens, the bundle {bundle.shape.vocabulary}: they are not of one model."
        raise InvalidRequest(Reason.MODEL_SOURCE_INVALID, why)
