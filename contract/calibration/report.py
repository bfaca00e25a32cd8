"""The sums of a calibration as the hub hands them to whoever signs the next map."""

import json
from dataclasses import dataclass
from typing import Any

from contract.calibration.cohorts import CohortSum
from contract.calibration.fitting import Step, fit
from contract.calibration.maps import SAME, SCORES, Calibrations, Fitted, Score
from contract.calibration.sums import schema_digest
from contract.errors import InvalidRequest, Reason
from contract.leaves import canonical

FORMAT_VERSION = 1
MOST_BYTES = 16 * 1024 * 1024

_FIELDS = {"format_version", "model", "of", "schema", "sums"}
_MOST_ENTRY = 2**64


@dataclass(frozen=True, slots=True)
class Report:
    """Sums by cohort, of one window or several.

    Args:
        score: the figure.
        model: digest of the model whose figures they are.
        schema: what the entries mean: it names the map that was in force, and is part of the schema of the rounds' plans.
        cohorts: each one's sum.
    """

    score: Score
    model: str
    schema: bytes
    cohorts: tuple[CohortSum, ...]

    def next_map(self, in_force: Calibrations) -> tuple[Step, Calibrations]:
        """Returns the next map, and the file with it in it.

        Args:
            in_force: the file that devices had when the window was summed.

        Raises:
            InvalidRequest: CALIBRATION_INVALID, they had another one, or too little is left.
        """
        before = in_force.of(self.score, self.model) or SAME
        if schema_digest(self.score, self.model, before) != self.schema:
            raise _invalid("devices held their answers against another map than the one that is given here")
        step = fit(self.score, before, self.cohorts)
        return step, in_force.having(Fitted(self.score, self.model, step.map, step.answers))

    def to_json(self) -> bytes:
        """Returns the file's content."""
        sums = [{"devices": cohort.devices, "variance": cohort.variance, "values": list(cohort.values)} for cohort in self.cohorts]
        fields = {"of": self.score.name, "model": self.model, "schema": self.schema.hex(), "sums": sums}
        return canonical({**fields, "format_version": FORMAT_VERSION}).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes) -> "Report":
        """Reads a file of sums.

        Raises:
            InvalidRequest: CALIBRATION_INVALID.
        """
        if len(content) > MOST_BYTES:
            raise _invalid(f"it has more than {MOST_BYTES} bytes")
        try:
            fields = json.loads(content)
            if set(fields) != _FIELDS or fields["format_version"] != FORMAT_VERSION or not isinstance(fields["model"], str):
                raise ValueError(f"its fields are {', '.join(sorted(_FIELDS))}, the format is {FORMAT_VERSION}")
            cohorts = tuple(_cohort(item) for item in fields["sums"])
            return cls(SCORES[fields["of"]], fields["model"], bytes.fromhex(fields["schema"]), cohorts)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise _invalid(f"{type(error).__name__}: {str(error)[:200]}") from error


def _cohort(item: Any) -> CohortSum:
    devices, variance, values = item["devices"], item["variance"], item["values"]
    if set(item) != {"devices", "values", "variance"} or type(devices) is not int or type(variance) not in (int, float):
        raise ValueError("a sum has devices, values and variance")
    if not 0 <= variance < _MOST_ENTRY**2 or any(type(value) is not int or abs(value) >= _MOST_ENTRY for value in values):
        raise ValueError("values are whole numbers of 64 bits, a variance is no less than nothing")
    return CohortSum(devices, tuple(values), float(variance))


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.CALIBRATION_INVALID, f"The sums cannot be used: {why}. Take them, and the policy's folder, as they were.")
