"""How good is what the decoder says, beside llama.cpp on the same GGUF file?"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from tokenizers import Tokenizer

from agent.inference.loading import load_bundle
from contract.bundle import TOKENIZER_FILE
from models.evaluation.bundled import BundleScorer
from models.evaluation.llama_cpp import LlamaCppScorer
from models.evaluation.scores import WINDOW_TOKENS, windows
from models.progress import Quiet

THREADS = 2


@dataclass(frozen=True)
class Quality:
    """Against llama.cpp, on the true tokens of a text.

    Args:
        perplexity_ratio: ours by theirs.
        agreement: the share of positions at which both think the same token likeliest.
    """

    perplexity_ratio: float
    agreement: float


def measure_quality(bundle_folder: Path, gguf_file: Path, text_file: Path) -> Quality:
    """Scores both on windows of the text."""
    shape = load_bundle(bundle_folder).shape
    tokenizer = Tokenizer.from_file(str(bundle_folder / TOKENIZER_FILE))
    token_ids = tokenizer.encode(text_file.read_text(), add_special_tokens=False).ids
    plain_token = tokenizer.encode("a", add_special_tokens=False).ids[0]
    parts = windows(token_ids, WINDOW_TOKENS)
    ours = BundleScorer(bundle_folder, shape, THREADS, perf_counter).score(parts, Quiet())
    theirs = LlamaCppScorer(gguf_file, WINDOW_TOKENS, shape.vocabulary, plain_token).score(parts, Quiet())
    return Quality(ours.perplexity() / theirs.perplexity(), ours.agreement(theirs))
