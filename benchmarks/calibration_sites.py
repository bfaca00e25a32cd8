"""A fleet whose answers are real ones: sites ask the bundled model different kinds of questions, in different numbers.

`calibration_answers.py` has asked them, and knows which answers were right. Half of the answers of each kind are what sites see, drawn anew
for each window; the other half is held out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.calibration_fleet import Judged, answers_of_a_window

FILE = Path(__file__).parent / "data" / "confidence.json"
CONCENTRATION = 0.3
"""Of the Dirichlet distribution that a site's shares of kinds are drawn from: four kinds of thirty are more than half of what it asks."""

Pool = Mapping[str, Sequence[Judged]]
"""Answers by kind of question."""


@dataclass(frozen=True)
class AskingSite:
    """One site: what it asks, and how many answers are judged in a window.

    Args:
        pool: that answers are drawn from.
        shares: of the pool's kinds, in its order.
        answers: in a window.
    """

    pool: Pool
    shares: tuple[float, ...]
    answers: int

    def window(self, random: Random) -> list[Judged]:
        """Returns a window's judged answers."""
        kinds = random.choices(list(self.pool), self.shares, k=self.answers)
        return [random.choice(self.pool[kind]) for kind in kinds]

    def asking(self, pool: Pool) -> "AskingSite":
        """Returns a site that asks the same of other answers."""
        return AskingSite(pool, self.shares, self.answers)


def read_answers(file: Path = FILE) -> Pool:
    """Reads how sure the model was, and whether it was right."""
    kinds = json.loads(file.read_text())["kinds"]
    return {kind: [(figure, said == "right") for said in ("right", "wrong") for figure in found[said]] for kind, found in kinds.items()}


def halves(pool: Pool, random: Random) -> tuple[Pool, Pool]:
    """Deals the answers of each kind to two pools, as they come."""
    dealt = {kind: random.sample(answers, len(answers)) for kind, answers in pool.items()}
    return ({kind: found[::2] for kind, found in dealt.items()}, {kind: found[1::2] for kind, found in dealt.items()})


def asking_fleet(size: int, pool: Pool, random: Random) -> list[AskingSite]:
    """Returns sites whose questions and numbers differ by much."""
    return [AskingSite(pool, _shares(len(pool), random), answers_of_a_window(random)) for _ in range(size)]


def _shares(kinds: int, random: Random) -> tuple[float, ...]:
    """Draws from a symmetric Dirichlet distribution: normed gamma variates."""
    drawn = [random.gammavariate(CONCENTRATION, 1) for _ in range(kinds)]
    return tuple(one / sum(drawn) for one in drawn)
