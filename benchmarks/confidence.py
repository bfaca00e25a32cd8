"""How well does the judged confidence tell right answers from wrong ones, and what would each bar send away?

    python benchmarks/confidence.py --data FILE.jsonl

FILE holds one JSON object a line: `question`, `context` or null, `answers` (texts, any of which is right). An answer counts as right if it
contains one of them, case and punctuation aside. Beside the figure that the agent uses stand two others, from the same tokens. The last
line is JSON: `questions right auc auc_least_token auc_length`.
"""

import argparse
import asyncio
import json
import math
import re
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.confidence import ConfidenceSettings, confidence
from agent.inference.engine import Engine, Piece
from agent.inference.settings import EngineSettings
from agent.prompts import Message, Sampling

AT_ONCE = 8


@dataclass(frozen=True)
class Judged:
    """One question: whether the answer was right, and its tokens' log-probabilities."""

    right: bool
    logprobs: tuple[float, ...]


def auc(scores: list[float], right: list[bool]) -> float:
    """The area under the ROC curve: how often a right answer scores above a wrong one (Mann and Whitney 1947), ties half."""
    good = [score for score, is_right in zip(scores, right, strict=True) if is_right]
    bad = [score for score, is_right in zip(scores, right, strict=True) if not is_right]
    above = sum((a > b) + 0.5 * (a == b) for a in good for b in bad)
    return above / (len(good) * len(bad)) if good and bad else float("nan")


def plain(text: str) -> str:
    """Lower case, words only."""
    return " ".join(re.findall(r"\w+", text.lower()))


async def judge(engine: Engine, row: dict[str, Any], max_tokens: int) -> Judged:
    """Answers one question."""
    question = f"{row['context']}\n\n{row['question']}" if row.get("context") else row["question"]
    text, logprobs = "", []
    async with aclosing(engine.generate([Message("user", question)], Sampling(max_tokens=max_tokens))) as pieces:
        async for piece in pieces:
            if isinstance(piece, Piece):
                text += piece.text
                logprobs.append(-math.inf if piece.logprob is None else piece.logprob)
    return Judged(any(f" {plain(answer)} " in f" {plain(text)} " for answer in row["answers"]), tuple(logprobs))


async def run(bundle: Path, rows: list[dict[str, Any]], max_tokens: int) -> list[Judged]:
    """Answers all questions, some at once."""
    engine = Engine(bundle, EngineSettings(slots=AT_ONCE, queue_size=AT_ONCE * 2))
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(row: dict[str, Any]) -> Judged:
        async with gate:
            return await judge(engine, row, max_tokens)

    try:
        return await asyncio.gather(*(one(row) for row in rows))
    finally:
        await engine.close()


def main() -> None:
    """Prints the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, default=Path("build/models/smollm2-135m-instruct-int8"))
    parser.add_argument("--questions", type=int, default=400, help="how many, spread evenly over the file")
    parser.add_argument("--max-tokens", type=int, default=64)
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.data.read_text().splitlines()]
    judged = asyncio.run(run(options.bundle, rows[:: max(1, len(rows) // options.questions)], options.max_tokens))
    held = ConfidenceSettings().held_tokens
    right = [item.right for item in judged]
    scores = [confidence(item.logprobs[:held]) for item in judged]
    print(f"{'bar':>5} {'kept':>6} {'right of kept':>14} {'right of sent':>14}")
    for bar in (0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8):
        kept = [is_right for score, is_right in zip(scores, right, strict=True) if score >= bar]
        sent = [is_right for score, is_right in zip(scores, right, strict=True) if score < bar]
        print(f"{bar:5.2f} {len(kept) / len(judged):6.2f} {sum(kept) / max(1, len(kept)):14.2f} {sum(sent) / max(1, len(sent)):14.2f}")
    figures = {
        "questions": len(judged),
        "right": round(sum(right) / len(right), 3),
        "auc": round(auc(scores, right), 3),
        "auc_least_token": round(auc([min(item.logprobs[:held], default=0.0) for item in judged], right), 3),
        "auc_length": round(auc([-float(len(item.logprobs)) for item in judged], right), 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
