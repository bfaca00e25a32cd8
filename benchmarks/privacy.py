"""How much of what is personal does the detector find, how much that is nobody's, and how fast, beside plain Presidio?

    make bench-privacy ARGS="--data FILE.jsonl"

FILE holds one JSON object a line: `text`, and `spans` [start, end, kind]. Without it, the benchmark's own texts are read. Every span
counts, whatever its kind: it is found where all its characters are covered. A document leaks if one of its spans is not. Presidio has the
small English model of spaCy; both take turns, text by text. The last line is JSON; `secrets_found` is measured on keys and passwords that
are made up anew by the seed.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from time import perf_counter

from agent.detection.detector import find_all, places, shipped_finders
from agent.detection.tagger import Tagger
from benchmarks.policy import decision_microseconds
from benchmarks.privacy_sets import Text, own_texts, read_texts, secrets
from contract.classification import classify
from contract.policy import Policy

Places = Sequence[tuple[int, int]]
Find = Callable[[str], Places]

SECRETS = 400


@dataclass
class Score:
    """What one detector has found so far."""

    seconds: list[float] = field(default_factory=list)
    spans: Counter[str] = field(default_factory=Counter)
    covered: Counter[str] = field(default_factory=Counter)
    documents: int = 0
    leaking: int = 0
    clean: int = 0
    flagged: int = 0
    innocent: int = 0
    redacted: int = 0

    def add(self, text: Text, found: Places, seconds: float) -> None:
        """Counts one text."""
        marked = _characters((start, end) for start, end, _ in text.spans)
        hidden = _characters(found)
        missed = [kind for start, end, kind in text.spans if not hidden.issuperset(range(start, end))]
        self.seconds.append(seconds)
        self.documents += 1
        self.leaking += bool(missed)
        self.spans.update(kind for _, _, kind in text.spans)
        self.covered.update(kind for _, _, kind in text.spans)
        self.covered.subtract(missed)
        self.clean += not text.spans
        self.flagged += not text.spans and bool(found)
        self.innocent += len(text.text) - len(marked)
        self.redacted += len(hidden - marked)

    def figures(self, prefix: str = "") -> dict[str, float]:
        """Returns what the last line says of it."""
        return {
            f"{prefix}documents_leaking": _ratio(self.leaking, self.documents),
            f"{prefix}spans_covered": _ratio(self.covered.total(), self.spans.total()),
            f"{prefix}clean_flagged": _ratio(self.flagged, self.clean),
            f"{prefix}innocent_characters_redacted": _ratio(self.redacted, self.innocent),
            f"{prefix}milliseconds": round(1000 * sum(self.seconds) / len(self.seconds), 3),
        }


def ours() -> Find:
    """Returns the agent's detector, as it is shipped and without its memory."""
    finders = shipped_finders(Tagger())
    return lambda text: [(finding.start, finding.end) for finding in places(text, find_all(text, finders))]


def compare(texts: Iterable[Text], finds: Sequence[Find]) -> list[Score]:
    """Lets all look at each text, in turn; who is first changes."""
    scores = [Score() for _ in finds]
    for number, text in enumerate(texts):
        for place in range(len(finds)):
            which = (place + number) % len(finds)
            begun = perf_counter()
            found = finds[which](text.text)
            scores[which].add(text, found, perf_counter() - begun)
    return scores


def main() -> None:
    """Prints what is found by kind, and the JSON."""
    from benchmarks.privacy_peer import presidio  # has a venv of its own

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    texts = own_texts() if options.data is None else read_texts(options.data)
    finds = [ours(), presidio()]
    compare(texts[:20], finds)  # warms both
    own, theirs = compare(texts, finds)
    own_secrets, their_secrets = compare(secrets(random.Random(options.seed), SECRETS), finds)
    print(f"{'kind':<20} {'spans':>6} {'ours':>6} {'Presidio':>9}")
    for score, other in ((own, theirs), (own_secrets, their_secrets)):
        for kind, count in score.spans.most_common():
            print(f"{kind:<20} {count:6} {score.covered[kind] / count:6.2f} {other.covered[kind] / count:9.2f}")
    policy = Policy(resources.files("contract").joinpath("default.cedar").read_text("utf-8"))
    decided = decision_microseconds(policy, classify(["PERSON", "EMAIL_ADDRESS"]))
    figures = own.figures() | {
        "time_ratio_to_presidio": round(sum(own.seconds) / sum(theirs.seconds), 3),
        "decision_microseconds": decided["first"],
        "decision_again_microseconds": decided["again"],
        "secrets_found": own_secrets.figures()["spans_covered"],
        **theirs.figures("presidio_"),
        "presidio_secrets_found": their_secrets.figures()["spans_covered"],
    }
    print(json.dumps({"documents": len(texts), **figures}))


def _characters(found: Iterable[tuple[int, int]]) -> set[int]:
    return {place for start, end in found for place in range(start, end)}


def _ratio(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


if __name__ == "__main__":
    main()
