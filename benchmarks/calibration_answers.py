"""Asks the bundled model short questions whose answers are known, and writes how sure it was of each, and whether it was right.

    python -m benchmarks.calibration_answers

Confidence is judged as the pipeline judges it, of the first 16 tokens. The file, `benchmarks/data/confidence.json`, holds no text: by kind
of question, the confidences of right and of wrong answers, in the order in which they were asked. `benchmarks/calibration.py` reads it.
The last line is JSON: `questions right auc kinds`.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from random import Random

from agent.confidence import ConfidenceSettings
from agent.inference.engine import Engine
from agent.inference.settings import EngineSettings
from agent.prompts import Message, Sampling
from agent.routes import LocalAnswer
from benchmarks.confidence import auc
from benchmarks.questions import Question
from benchmarks.questions_of_numbers import of_numbers
from benchmarks.questions_of_words import of_words
from contract.calibration.maps import CONFIDENCE, logistic

BUNDLE = Path("build/models/smollm2-135m-instruct-int8")
FILE = Path(__file__).parent / "data" / "confidence.json"
COMMAND = "python -m benchmarks.calibration_answers"
SEED, MOST_OF_A_KIND = 1, 240
AT_ONCE, MOST_TOKENS = 8, 24
_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a kind."""

    kind: str
    question: Question


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of it: how sure the model was, and whether it was right."""

    kind: str
    confidence: float
    is_right: bool


def all_questions(seed: int = SEED) -> list[Asked]:
    """Returns all questions in an order in which each part of them is like the whole."""
    random, asked = Random(seed), list[Asked]()
    for kind, asking in sorted((of_numbers() | of_words()).items()):
        different = list({question.text: question for question in asking(random)}.values())
        asked += [Asked(kind, question) for question in random.sample(different, min(len(different), MOST_OF_A_KIND))]
    random.shuffle(asked)
    return asked


async def answered(engine: Engine, asked: Asked) -> Answered:
    """Asks the model as the pipeline does."""
    messages, sampling = [Message("user", asked.question.text)], Sampling(max_tokens=MOST_TOKENS)
    async with aclosing(LocalAnswer(engine, messages, sampling, "benchmark", ConfidenceSettings().held_tokens)) as answer:
        confidence = await answer.judge()
        text = "".join([piece async for piece in answer.release() if isinstance(piece, str)])
    return Answered(asked.kind, round(confidence, _DECIMALS), asked.question.is_answered_by(text))


async def answered_all(bundle: Path, asked: Sequence[Asked]) -> tuple[str, list[Answered]]:
    """Returns the model's digest and its answers, in order; eight are worked at together."""
    settings = EngineSettings(slots=AT_ONCE, queue_size=AT_ONCE * 2, logprob_tokens=ConfidenceSettings().held_tokens)
    engine, gate = Engine(bundle, settings), asyncio.Semaphore(AT_ONCE)

    async def one(item: Asked) -> Answered:
        async with gate:
            return await answered(engine, item)

    try:
        return engine.bundle.digest(), await asyncio.gather(*(one(item) for item in asked))
    finally:
        await engine.close()


def by_kind(answers: Sequence[Answered]) -> dict[str, dict[str, list[float]]]:
    """Returns confidences by kind of question, of right and of wrong answers."""
    return {
        kind: {
            said: [item.confidence for item in answers if item.kind == kind and item.is_right == is_right]
            for said, is_right in (("right", True), ("wrong", False))
        }
        for kind in sorted({item.kind for item in answers})
    }


def by_range(answers: Sequence[Answered]) -> list[tuple[float, int, float]]:
    """Returns ranges of confidence: the middle, how many answers there are, and the share of right ones."""
    found = dict[int, list[bool]]()
    for item in answers:
        found.setdefault(CONFIDENCE.range_of(item.confidence), []).append(item.is_right)
    return [(logistic(CONFIDENCE.middle_of(number)), len(said), sum(said) / len(said)) for number, said in sorted(found.items())]


def to_json(model: str, answers: Sequence[Answered]) -> str:
    """Returns the file's content, a line for each kind."""
    head = {
        "command": COMMAND,
        "version": version("seawall"),
        "model": model,
        "seed": SEED,
        "questions": len(answers),
        "tokens": MOST_TOKENS,
    }
    lines = [f"  {json.dumps(kind)}: {json.dumps(found)}" for kind, found in by_kind(answers).items()]
    fields = [*(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()), ' "kinds": {\n' + ",\n".join(lines) + "\n }"]
    return "{\n" + ",\n".join(fields) + "\n}\n"


def main() -> None:
    """Writes the file, and prints a line for each kind and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--file", type=Path, default=FILE)
    parser.add_argument("--questions", type=int, help="how many, for a try; default: all")
    options = parser.parse_args()
    model, answers = asyncio.run(answered_all(options.bundle, all_questions()[: options.questions]))
    options.file.write_text(to_json(model, answers))
    for kind, found in by_kind(answers).items():
        count = sum(map(len, found.values()))
        print(f"{kind:>16} {count:>4} {len(found['right']) / count:6.2f}")
    for middle, count, share in by_range(answers):
        print(f"confidence {middle:.2f} {count:>4} {share:6.2f}")
    right = [item.is_right for item in answers]
    figures = {"questions": len(answers), "right": round(sum(right) / len(right), 3)}
    print(json.dumps({**figures, "auc": round(auc([item.confidence for item in answers], right), 3), "kinds": len(by_kind(answers))}))


if __name__ == "__main__":
    main()
