"""Which questions does the cache take for the same, with its guard and by similarity alone, and how long does it take?

    make bench-semantic ARGS="--data FILE.jsonl"

FILE holds one JSON object a line: `a` and `b`, two questions, and `same`: whether an answer to one answers the other (1 or 0). Without it,
the pairs of the guard's tests are read. The peers are a bare threshold on the same vectors, which is what caches of this kind usually have,
and, with --table, one on a static table made of the same network (Model2Vec's method; van Dongen and Tulkens 2024). The last line is JSON.
"""

import argparse
import asyncio
import json
import logging
import secrets
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import numpy.typing as npt
import structlog

from agent.cache.exact import CachedAnswer, ExactCache
from agent.cache.guard import refusal
from agent.cache.semantic import Asking, SemanticCache
from agent.cache.similarity import SimilaritySettings
from agent.embedding.embedder import DIMENSIONS, TOKENIZER, WEIGHTS, Embedder, Vector
from agent.inference.shipped import open_tokenizer
from agent.prompts import Message, Prompt, Sampling
from agent.store.answers import AnswerStore
from agent.store.database import Database
from contract.classification import DataClass

OWN_PAIRS = Path(__file__).parents[1] / "tests" / "unit" / "agent" / "cache" / "guard_pairs.toml"
BARS = (0.8, 0.85, 0.9, 0.95, 0.97)
KEPT, RECALLS = 10_000, 200
TABLE_DIMENSIONS, TABLE_WEIGHT = 256, 3e-5
_FIRST_WORD = 1000
"""Before it, MiniLM's vocabulary has marks and single letters."""

Numbers = npt.NDArray[np.float64]
Embed = Callable[[str], Vector]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions, and whether an answer to one answers the other."""

    one: str
    other: str
    same: bool


def read_pairs(path: Path) -> list[Pair]:
    """Reads a file of pairs."""
    rows = map(json.loads, path.read_text("utf-8").splitlines())
    return [Pair(row["a"], row["b"], bool(row["same"])) for row in rows]


def own_pairs() -> list[Pair]:
    """Returns the pairs of the guard's tests."""
    rules = tomllib.loads(OWN_PAIRS.read_text("utf-8"))["rule"]
    return [Pair(one, other, kind == "passed") for rule in rules for kind in ("passed", "refused") for one, other in rule[kind]]


def similarities(pairs: Sequence[Pair], embed: Embed) -> Numbers:
    """Returns the cosine of each pair."""
    vectors = {text: embed(text) for text in {text for pair in pairs for text in (pair.one, pair.other)}}
    return np.array([float(vectors[pair.one] @ vectors[pair.other]) for pair in pairs])


def area(figures: Numbers, same: npt.NDArray[np.bool_]) -> float:
    """Returns the area under the ROC curve: how likely a pair that is the same is the more similar one (ties count half)."""
    _, place, counts = np.unique(figures, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positives = int(same.sum())
    return float((ranks[same].sum() - positives * (positives + 1) / 2) / (positives * (len(same) - positives)))


def told(given: npt.NDArray[np.bool_], same: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Returns precision and recall of what is given."""
    right = int((given & same).sum())
    return {"precision": round(right / max(int(given.sum()), 1), 4), "recall": round(right / int(same.sum()), 4), "given": int(given.sum())}


def by_rule(reasons: Sequence[str], near: npt.NDArray[np.bool_], same: npt.NDArray[np.bool_]) -> dict[str, dict[str, int]]:
    """Returns how often each rule has refused rightly and wrongly, among the pairs that are near enough."""
    counts = Counter(
        (str(reason), bool(is_same)) for reason, is_near, is_same in zip(reasons, near, same, strict=True) if reason and is_near
    )
    return {rule: {"rightly": counts[rule, False], "wrongly": counts[rule, True]} for rule in sorted({rule for rule, _ in counts})}


def table(embedder: Embedder) -> Embed:
    """Returns a static table: each token alone, its principal components, weighed by how rare it is (Zipf: its place in the vocabulary)."""
    tokenizer = open_tokenizer(WEIGHTS / TOKENIZER)
    words = [tokenizer.id_to_token(number) or "" for number in range(tokenizer.get_vocab_size())]
    rows = np.array([embedder.embed(word.removeprefix("##")) for word in words])
    centred = rows - rows[_FIRST_WORD:].mean(0)
    _, _, axes = np.linalg.svd(centred[_FIRST_WORD:], full_matrices=False)
    chance = 1 / np.arange(2, len(words) + 2)
    weights = TABLE_WEIGHT / (TABLE_WEIGHT + chance / chance.sum())
    rows = (centred @ axes[:TABLE_DIMENSIONS].T * weights[:, None]).astype(np.float32)

    def embed(text: str) -> Vector:
        total: Vector = rows[tokenizer.encode(text, add_special_tokens=False).ids].sum(0) + np.float32(1e-9)
        return np.asarray(total / np.linalg.norm(total), np.float32)

    return embed


async def recall_milliseconds(embedder: Embedder, questions: Sequence[str]) -> dict[str, float]:
    """Measures a cache of so many questions of one scope: a recall that finds nothing that passes, from the question to the answer."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "agent.db")
        store = AnswerStore(database, KEPT, 3600.0)
        exact = ExactCache(store, secrets.token_bytes(32), ())
        cache = SemanticCache(exact, store, embedder, lambda: SimilaritySettings().bar)
        for text in _different(questions, KEPT):
            await _keep(exact, cache, text)
        asked = list(_different([f"Is it true that {text}" for text in questions], RECALLS))
        seconds = []
        for text in asked:
            begun = perf_counter()
            await cache.recall(_asking(text), 2.0)
            seconds.append(perf_counter() - begun)
        cache.close()
        database.close()
    return {"kept": KEPT, "median": round(1000 * median(seconds), 2), "most": round(1000 * max(seconds), 2)}


def _different(questions: Sequence[str], count: int) -> Iterator[str]:
    for number in range(count):
        yield f"{questions[number % len(questions)]} ({number})"


def _asking(text: str) -> Asking:
    return Asking((Message("user", text),), Sampling(), "sha256:model", DataClass.PUBLIC, "bench")


async def _keep(exact: ExactCache, cache: SemanticCache, text: str) -> None:
    asking = _asking(text)
    prompt = Prompt("p", "bench", tuple(asking.messages), datetime.fromtimestamp(1.0, UTC))
    question = await cache.question(asking)
    digest = await exact.keep(prompt, asking.messages, CachedAnswer("a", "stop", 1, 1, "m", "", None), 1.0, asking.model_digest, question)
    if question is not None and digest is not None:
        await cache.add(digest, question)


def embedding_milliseconds(embed: Embed, texts: Sequence[str]) -> float:
    """Returns the median time for one text."""
    seconds = []
    for text in texts:
        begun = perf_counter()
        embed(text)
        seconds.append(perf_counter() - begun)
    return round(1000 * median(seconds), 3)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        description="What the semantic cache takes for the same.", epilog="Example: --data pairs.jsonl --table"
    )
    parser.add_argument("--data", type=Path, help="pairs of questions, see above")
    parser.add_argument("--table", action="store_true", help="measure a static table too")
    parser.add_argument("--bar", type=float, default=SimilaritySettings().bar, help="the bar of the guarded cache")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    pairs = own_pairs() if asked.data is None else read_pairs(asked.data)
    same, texts, embedder = np.array([pair.same for pair in pairs]), [pair.one for pair in pairs], Embedder()
    figures = similarities(pairs, embedder.embed)
    begun = perf_counter()
    reasons = [refusal(pair.one, pair.other) or "" for pair in pairs]
    guard_microseconds = round((perf_counter() - begun) / len(pairs) * 1e6, 1)
    passed = np.array([not reason for reason in reasons])
    result: dict[str, object] = {
        "pairs": len(pairs),
        "auc": round(area(figures, same), 4),
        "bare": {str(bar): told(figures >= bar, same) for bar in BARS},
        "guarded": {str(bar): told((figures >= bar) & passed, same) for bar in sorted({*BARS, asked.bar})},
        "rules": by_rule(reasons, figures >= asked.bar, same),
        "guard_microseconds": guard_microseconds,
        "embed_milliseconds": embedding_milliseconds(embedder.embed, texts[:500]),
        "recall_milliseconds": asyncio.run(recall_milliseconds(embedder, texts)),
    }
    if asked.table:
        embed = table(embedder)
        others = similarities(pairs, embed)
        result["table"] = {
            "auc": round(area(others, same), 4),
            "bare": {str(bar): told(others >= bar, same) for bar in BARS},
            "embed_milliseconds": embedding_milliseconds(embed, texts[:500]),
        }
    for name, value in result.items():
        print(f"{name}: {value}")
    print(json.dumps({**result, "dimensions": DIMENSIONS}))


if __name__ == "__main__":
    main()
