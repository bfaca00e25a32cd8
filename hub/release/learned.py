"""What a report of counts says of a rollout's version, and of the one before it: of other versions of the model, what most agents serve."""

from collections import Counter
from datetime import datetime
from itertools import chain

from sqlalchemy import Connection

from contract.usage import model_bucket
from hub.learning.said import weeks_said
from hub.release.gates import Learned, says_something
from hub.release.plan import split_version
from hub.store import agents
from seawall.hub.v1.agent_pb2 import AgentReport


def learned(connection: Connection, version: str, after: datetime) -> Learned | str:
    """Returns what there is to judge a version by, of the newest week that says something, or why there is nothing.

    Args:
        connection: of the transaction.
        version: `models/{model}/versions/{version}`.
        after: a report of a week that ended before says nothing of it.
    """
    new, old = _buckets(connection, version)
    if new is None or old is None:
        return "no agents serve another version of the model beside it"
    if new == old:
        return f"it and the version before it are counted in one bucket, model.{new}"
    weeks = weeks_said(connection, after)
    reports = (Learned(week.week, week.of_models[new], week.of_models[old], week.standard_deviation) for week in weeks)
    newest = next(reports, None)
    if newest is None:
        return "no week that ended since the wave began has a report"
    return next(filter(says_something, chain((newest,), reports)), newest)


def _buckets(connection: Connection, version: str) -> tuple[int | None, int | None]:
    """Returns the buckets of a version, and of that before it, as agents say which digests they serve."""
    served: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    of_model = f"models/{split_version(version)[0]}/versions/"
    for content, count in agents.reports(connection):
        report = AgentReport.FromString(content)
        if report.model.startswith(of_model):
            served[report.model == version][report.model_digest] += count
    return _bucket(served[True]), _bucket(served[False])


def _bucket(digests: Counter[str]) -> int | None:
    most = digests.most_common(1)
    return model_bucket(most[0][0]) if most else None
