"""Maps from a figure to a probability, and the signed file that brings them to devices."""

import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, isfinite, log
from typing import Any

from contract.errors import InvalidRequest, Reason
from contract.leaves import canonical

FORMAT_VERSION = 1
MOST_BYTES = 64 * 1024
MOST_MAPS = 64
LEAST_SLOPE, MOST_SLOPE, MOST_OFFSET = 0.05, 10.0, 12.0

_DECIMALS = 6
_FIELDS = {"answers", "model", "offset", "of", "slope"}


@dataclass(frozen=True, slots=True)
class Score:
    """A figure from 0 to 1 that orders answers.

    Args:
        name: of the figure.
        least: log-odds at which the ranges begin that are told apart; what is below is in a range of its own, as wide as the others.
        step: their width.
        ranges: how many there are, the two at the ends included.
    """

    name: str
    least: float
    step: float
    ranges: int

    def range_of(self, figure: float) -> int:
        """Returns the number of the range that a figure falls into."""
        return bisect_right([self.least + self.step * number for number in range(self.ranges - 1)], log_odds(figure))

    def middle_of(self, number: int) -> float:
        """Returns the log-odds that stand for all figures of a range."""
        return self.least + self.step * (number - 0.5)

    @property
    def middle(self) -> float:
        """The log-odds in the middle of all ranges."""
        return self.middle_of(0) + self.step * (self.ranges - 1) / 2

    def place_of(self, number: int) -> float:
        """Returns how far a range is from the middle of all: near 0 where figures are, so that slope and offset are told apart."""
        return self.middle_of(number) - self.middle

    def place(self, figure: float) -> float:
        """Returns how far a figure is from the middle of all ranges; one beyond them, how far their ends are."""
        most = self.step * self.ranges / 2
        return min(max(log_odds(figure) - self.middle, -most), most)


CONFIDENCE = Score("confidence", -2.0, 0.4, 15)
"""Of a local answer, from `agent/confidence.py`: ranges from 0.12 to 0.96."""

SIMILARITY = Score("similarity", 1.0, 0.4, 12)
"""Of a question to one whose answer is kept: ranges from 0.73 to 0.99."""

SCORES = {score.name: score for score in (CONFIDENCE, SIMILARITY)}


@dataclass(frozen=True, slots=True)
class Map:
    """From a figure to the probability that the answer is good. As it stands, it changes nothing.

    Raises:
        InvalidRequest: CALIBRATION_INVALID, the order would not be kept, or a number is beyond all reason.
    """

    slope: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not (LEAST_SLOPE <= self.slope <= MOST_SLOPE and abs(self.offset) <= MOST_OFFSET):
            raise _invalid(f"a slope is from {LEAST_SLOPE} to {MOST_SLOPE}, an offset from -{MOST_OFFSET} to {MOST_OFFSET}")

    def probability(self, figure: float) -> float:
        """Returns the probability; of what nothing is known (0), none."""
        return logistic(self.slope * log_odds(figure) + self.offset) if figure > 0 else 0.0

    def least_figure(self, probability: float) -> float:
        """Returns the figure from which on the probability is so much: a bar for figures from one for probabilities, neither 0 nor 1."""
        return logistic((log_odds(probability) - self.offset) / self.slope)


SAME = Map()


@dataclass(frozen=True, slots=True)
class Bar:
    """What a site asks of a figure.

    Args:
        usual: the least figure, where no probability is asked for or no map is in force.
        probability: that is asked for, neither 0 nor 1; None: none is.
        least: no map makes the bar lower: below it, an answer is never good enough.
        most: no map makes it higher.
    """

    usual: float
    probability: float | None = None
    least: float = 0.0
    most: float = 1.0

    def under(self, map_: Map | None) -> float:
        """Returns the least figure that is good enough."""
        wanted = self.usual if map_ is None or self.probability is None else map_.least_figure(self.probability)
        return min(max(wanted, self.least), self.most)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A map, and what it was fitted to.

    Args:
        score: the figure.
        model: digest of the model whose figures they were.
        map: of them.
        answers: how many were judged, about.
    """

    score: Score
    model: str
    map: Map
    answers: int


@dataclass(frozen=True, slots=True)
class Calibrations:
    """The maps in force."""

    fitted: tuple[Fitted, ...] = ()
    _maps: Mapping[tuple[str, str], Map] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        maps = {(item.score.name, item.model): item.map for item in self.fitted}
        if len(maps) != len(self.fitted) or len(maps) > MOST_MAPS:
            raise _invalid(f"it has at most {MOST_MAPS} maps, one for each figure of a model")
        object.__setattr__(self, "_maps", maps)

    def of(self, score: Score, model: str) -> Map | None:
        """Returns the map for a figure of a model; None: none was fitted to it, and another model's says nothing."""
        return self._maps.get((score.name, model))

    def having(self, new: Fitted) -> "Calibrations":
        """Returns these with one more, in place of the one that there was for the same."""
        others = (item for item in self.fitted if (item.score, item.model) != (new.score, new.model))
        return Calibrations((*others, new))

    def to_json(self) -> bytes:
        """Returns the file's content, in its one form."""
        items = [
            {"of": item.score.name, "model": item.model, "slope": item.map.slope, "offset": item.map.offset, "answers": item.answers}
            for item in sorted(self.fitted, key=lambda item: (item.score.name, item.model))
        ]
        return canonical({"format_version": FORMAT_VERSION, "maps": items}).encode() + b"\n"


NO_CALIBRATIONS = Calibrations()


def read_calibrations(content: bytes) -> Calibrations:
    """Reads a file of maps.

    Raises:
        InvalidRequest: CALIBRATION_INVALID.
    """
    if len(content) > MOST_BYTES:
        raise _invalid(f"it has more than {MOST_BYTES} bytes")
    try:
        fields = json.loads(content)
        if set(fields) != {"format_version", "maps"} or fields["format_version"] != FORMAT_VERSION:
            raise ValueError(f"its fields are format_version and maps, the format is {FORMAT_VERSION}")
        return Calibrations(tuple(_fitted(item) for item in fields["maps"]))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _invalid(f"{type(error).__name__}: {str(error)[:200]}") from error


def rounded(slope: float, offset: float) -> Map:
    """Returns a map as the file can hold it, with a slope that keeps the order."""
    slope, offset = min(max(slope, LEAST_SLOPE), MOST_SLOPE), min(max(offset, -MOST_OFFSET), MOST_OFFSET)
    return Map(round(slope, _DECIMALS), round(offset, _DECIMALS))


def log_odds(figure: float) -> float:
    """Returns the log-odds of a figure from 0 to 1; of 0 and 1 themselves, of what is very near them."""
    inside = min(max(figure, 1e-9), 1 - 1e-9)
    return log(inside / (1 - inside))


def logistic(odds: float) -> float:
    """Returns the probability of log-odds."""
    return 1 / (1 + exp(-odds)) if odds >= 0 else exp(odds) / (1 + exp(odds))


def _fitted(item: Any) -> Fitted:
    slope, offset, answers, model = item["slope"], item["offset"], item["answers"], item["model"]
    if set(item) != _FIELDS or not isinstance(model, str) or type(answers) is not int or answers < 0:
        raise ValueError(f"the fields of a map are {', '.join(sorted(_FIELDS))}")
    if any(type(number) not in (int, float) or not isfinite(number) for number in (slope, offset)):
        raise ValueError("slope and offset are numbers")
    return Fitted(SCORES[item["of"]], model, Map(float(slope), float(offset)), answers)


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.CALIBRATION_INVALID, f"The calibration cannot be used: {why}. Fit it again, or leave it out.")
