"""A short question whose right answers are known, and whether a text answers it."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random

TRIES = 500
"""So often a rule draws: more than questions are taken of a kind."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Args:
        text: as the model gets it.
        right: any of which is a right answer.
        wrong: any of which makes an answer wrong, if it comes first.
    """

    text: str
    right: tuple[str, ...]
    wrong: tuple[str, ...] = ()

    def is_answered_by(self, text: str) -> bool:
        """Says whether a right answer is named, and no wrong one before it; case and punctuation aside."""
        said = _plain(text)
        place = min(_places(said, self.right), default=None)
        return place is not None and all(place < other for other in _places(said, self.wrong))


Asking = Callable[[Random], Iterator[Question]]
"""Makes the questions of a kind, some perhaps twice."""


def yes_or_no(text: str, is_so: bool) -> Question:
    """Returns a question that is answered by yes or no."""
    right, wrong = ("yes", "no") if is_so else ("no", "yes")
    return Question(f"{text} Answer yes or no.", (right,), (wrong,))


def _plain(text: str) -> str:
    words = re.findall(r"\w+", text.lower())
    return f" {' '.join(words)} "


def _places(said: str, answers: Iterable[str]) -> list[int]:
    """Returns where answers stand as words of their own, the first time each."""
    return [place for answer in answers if (place := said.find(_plain(answer))) >= 0]
