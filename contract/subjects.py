"""What a round is of: counts of use, or by how much answers were better or worse than the map in force says of one of their figures.

Each has entries, a norm and a schema of its own, and each may be reported once for a week: the windows of rounds of a figure have names of
their own, so that one never stands for another in what a device remembers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from contract import drift, usage
from contract.calibration import sums
from contract.calibration.maps import CONFIDENCE, SAME, SIMILARITY, Map, Score

MOST_ANSWERS = 1000
"""Whose use is counted, of a device and a window; where there were more, so many of them are drawn."""

EMBEDDER = f"sha256:{drift.EMBEDDER}"
"""Whose similarities agents of this version have."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts of use: `contract/usage.py`."""

    of: ClassVar[str] = "usage"
    schema_version: ClassVar[int] = usage.SCHEMA_VERSION
    entries: ClassVar[int] = len(usage.CELLS)
    scale_bits: ClassVar[int] = 0
    norm: ClassVar[int] = usage.norm(MOST_ANSWERS)

    def window(self, week: str) -> str:
        """Returns the name of a week's window."""
        return week

    def meaning(self) -> dict[str, object]:
        """Returns what the entries mean."""
        return {
            "cells": usage.CELLS,
            "drift": drift.meaning(),
            "most_answers": MOST_ANSWERS,
            "schema_version": usage.SCHEMA_VERSION,
        }

    def named(self, values: Sequence[int]) -> dict[str, int]:
        """Returns entries by what they are of."""
        return usage.named(values)

    def to_dict(self) -> dict[str, object]:
        """Returns it as JSON can hold it."""
        return {"of": self.of}


@dataclass(frozen=True, slots=True)
class Judged:
    """What people said of answers, beside what a figure says of them under a map: `contract/calibration`.

    Args:
        model: digest of the model whose figure it is.
        in_force: the map that answers are held against.
    """

    model: str
    in_force: Map = SAME

    score: ClassVar[Score]
    of: ClassVar[str]
    entries: ClassVar[int]
    schema_version: ClassVar[int] = sums.SCHEMA_VERSION
    scale_bits: ClassVar[int] = sums.SCALE_BITS
    norm: ClassVar[int] = sums.NORM

    def window(self, week: str) -> str:
        """Returns the name of a week's window: one for all models and maps."""
        return f"{week}.{self.of}"

    @property
    def digest(self) -> bytes:
        """What the entries mean: it names model and map."""
        return sums.schema_digest(self.score, self.model, self.in_force)

    def meaning(self) -> dict[str, object]:
        """Returns what the entries mean."""
        return {"calibration": self.digest.hex()}

    def named(self, values: Sequence[int]) -> dict[str, int]:
        """Returns entries by what they are of."""
        return dict(zip(sums.names(self.score), values, strict=True))

    def to_dict(self) -> dict[str, object]:
        """Returns it as JSON can hold it."""
        return {"of": self.of, "model": self.model, "slope": self.in_force.slope, "offset": self.in_force.offset}


@dataclass(frozen=True, slots=True)
class Confidence(Judged):
    """Of a model's answers, beside its confidence; `model` is the digest of its bundle."""

    score: ClassVar[Score] = CONFIDENCE
    of: ClassVar[str] = CONFIDENCE.name
    entries: ClassVar[int] = sums.entries(CONFIDENCE)


@dataclass(frozen=True, slots=True)
class Similarity(Judged):
    """Of answers from the cache to a similar question, beside how similar it was; `model` is the digest of the embedder's weights."""

    score: ClassVar[Score] = SIMILARITY
    of: ClassVar[str] = SIMILARITY.name
    entries: ClassVar[int] = sums.entries(SIMILARITY)


Subject = Usage | Judged

USAGE = Usage()

_JUDGED = {kind.of: kind for kind in (Confidence, Similarity)}


def read_subject(values: Mapping[str, Any]) -> Subject:
    """Returns what `to_dict` has written."""
    if values["of"] == Usage.of:
        return USAGE
    return _JUDGED[values["of"]](values["model"], Map(values["slope"], values["offset"]))


def week_of(window: str) -> str:
    """Returns the week that a window is of."""
    return window.partition(".")[0]
