"""What people said of models' answers in a week, for whatever else decides by it: it needs to know no more of rounds than this."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from contract.learning import window_of
from contract.subjects import Usage
from contract.usage import MODEL_BUCKETS, SCHEMA_VERSION
from hub.learning.results import merge
from hub.store import learning
from hub.store.learning import PENDING, RUNNING


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


def weeks_said(connection: Connection, after: datetime) -> Iterator[WeekSaid]:
    """Returns the weeks with a report that ended after a time, the newest first.

    None of which a round goes on: what is there of it so far may be one region's.
    """
    for week in learning.weeks(connection, window_of(after)):
        rounds = [one for one in learning.of_window(connection, week) if isinstance(one.subject, Usage)]
        if any(one.state in (PENDING, RUNNING) for one in rounds):
            continue
        for report in merge(rounds, SCHEMA_VERSION, ()):
            cells = report.sums
            said = (Said(cells[f"model.{number}.said.good"], cells[f"model.{number}.said.bad"]) for number in range(MODEL_BUCKETS))
            yield WeekSaid(week, tuple(said), report.standard_deviation)
