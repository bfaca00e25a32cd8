"""What people said of models' answers in a week, for whatever else decides by it: it needs to know no more of rounds than this."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from contract.learning import window_of
from contract.usage import MODEL_BUCKETS, SCHEMA_VERSION
from hub.learning.results import merge
from hub.store import learning


@dataclass(frozen=True, slots=True)
class Said:
    """Of how many answers people said which. Noise may bring either below nothing."""

    good: int
    bad: int


@dataclass(frozen=True, slots=True)
class WeekSaid:
    """A week, over the fleet.

    Args:
        week: such as 2026-W48.
        of_models: by the bucket of a model's digest, `contract.usage.model_bucket`.
        standard_deviation: of the noise in each number.
    """

    week: str
    of_models: tuple[Said, ...]
    standard_deviation: float


def newest_week(connection: Connection, after: datetime) -> WeekSaid | None:
    """Returns the newest week with a report that ended after a time; None: there is none."""
    for week in learning.weeks(connection, window_of(after)):
        for report in merge(learning.of_window(connection, week), SCHEMA_VERSION, ()):
            cells = report.sums
            said = (Said(cells[f"model.{number}.said.good"], cells[f"model.{number}.said.bad"]) for number in range(MODEL_BUCKETS))
            return WeekSaid(week, tuple(said), report.standard_deviation)
    return None
