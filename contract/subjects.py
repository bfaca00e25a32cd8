"""What a round is of: counts of use, or by how much answers were better or worse than the calibration in force says.

Each has entries, a norm and a schema of its own, and each may be reported once for a week: the windows of a round of the second have names
of their own, so that one never stands for the other in what a device remembers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from contract import drift, usage
from contract.calibration import sums
from contract.calibration.maps import CONFIDENCE, SAME, Map

MOST_ANSWERS = 1000
"""Whose use is counted, of a device and a window; where there were more, so many of them are drawn."""


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
class Confidence:
    """What people said of a model's answers, beside what its confidence says of them: `contract/calibration`.

    Args:
        model: digest of its bundle.
        in_force: the map that answers are held against.
    """

    model: str
    in_force: Map = SAME

    of: ClassVar[str] = CONFIDENCE.name
    schema_version: ClassVar[int] = sums.SCHEMA_VERSION
    entries: ClassVar[int] = sums.entries(CONFIDENCE)
    scale_bits: ClassVar[int] = sums.SCALE_BITS
    norm: ClassVar[int] = sums.NORM

    def window(self, week: str) -> str:
        """Returns the name of a week's window: one for all models and maps."""
        return f"{week}.{self.of}"

    @property
    def digest(self) -> bytes:
        """What the entries mean: it names model and map."""
        return sums.schema_digest(CONFIDENCE, self.model, self.in_force)

    def meaning(self) -> dict[str, object]:
        """Returns what the entries mean."""
        return {"calibration": self.digest.hex()}

    def named(self, values: Sequence[int]) -> dict[str, int]:
        """Returns entries by what they are of."""
        return dict(zip(sums.names(CONFIDENCE), values, strict=True))

    def to_dict(self) -> dict[str, object]:
        """Returns it as JSON can hold it."""
        return {"of": self.of, "model": self.model, "slope": self.in_force.slope, "offset": self.in_force.offset}


Subject = Usage | Confidence

USAGE = Usage()


def read_subject(values: Mapping[str, Any]) -> Subject:
    """Returns what `to_dict` has written."""
    if values["of"] == Usage.of:
        return USAGE
    return Confidence(values["model"], Map(values["slope"], values["offset"]))


def week_of(window: str) -> str:
    """Returns the week that a window is of."""
    return window.partition(".")[0]
