"""The table `rollouts`: what each rollout wants of this agent, how far it is, and what served before."""

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from google.protobuf.message import DecodeError
from sqlite_utils import Database as Tables

from agent.store.database import Database, unusable
from agent.store.live import LiveCounts
from seawall.hub.v1.rollout_pb2 import DesiredRelease, ReleaseReport

T = TypeVar("T")

MOST_KEPT = 100
"""Rollouts that are remembered; the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class Before:
    """What served before a rollout's version.

    Args:
        model: its name.
        version: of it.
        index_sha256: of its slot; empty: the configuration's bundle served.
        digest: of its bundle; empty: no model served.
        interruptions: so often the agent fell while it checked the version; an end in order is taken off beforehand.
    """

    model: str
    version: str
    index_sha256: str
    digest: str
    interruptions: int = 0


@dataclass(frozen=True, slots=True)
class ProbationRecord:
    """How long a version has been on probation, and what was counted when it began.

    Args:
        digest: of the version's bundle.
        seconds: that the agent has served with it; time in which it was off is not counted.
        starts: of the agent in a row that ended before there was an answer, or a minute.
        new: counted of the version when it began.
        old: counted of the one before.
    """

    digest: str
    seconds: float = 0.0
    starts: int = 0
    new: LiveCounts = field(default_factory=LiveCounts)
    old: LiveCounts = field(default_factory=LiveCounts)


@dataclass(frozen=True, slots=True)
class RolloutEntry:
    """A rollout, as this agent knows it.

    Args:
        wanted: as the hub said it last.
        report: how far this agent is.
        before: what served when its version was taken; None: it was not taken yet.
        probation: of its version; None: it has none.
    """

    wanted: DesiredRelease
    report: ReleaseReport
    before: Before | None = None
    probation: ProbationRecord | None = None

    @property
    def rollout(self) -> str:
        """`rollouts/{rollout}`."""
        return self.wanted.rollout


class RolloutStore:
    """The rollouts. When a method returns, what it did is on the disk.

    Args:
        database: the store.

    Raises:
        Unavailable: STORE_UNAVAILABLE, by every method: the disk is full or broken, or what is in it cannot be read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def want(self, wanted: DesiredRelease) -> RolloutEntry:
        """Keeps what is wanted; it is the newest then. How far the agent was with this rollout stays."""
        return await self._run(lambda tables: _want(tables, wanted))

    async def newest(self) -> RolloutEntry | None:
        """Returns what was wanted last; None: nothing ever was."""
        return await self._first("ORDER BY sequence DESC LIMIT 1")

    async def get(self, rollout: str) -> RolloutEntry | None:
        """Returns a rollout; None: it is not known."""
        return await self._first("WHERE rollout = ?", rollout)

    async def put(self, entry: RolloutEntry) -> None:
        """Keeps how far the agent is. What is wanted stays as the hub said it last."""
        query = "UPDATE rollouts SET report = ?, before = ?, probation = ? WHERE rollout = ?"
        values = [entry.report.SerializeToString(), _written(entry.before), _written(entry.probation), entry.rollout]
        await self._run(lambda tables: tables.execute(query, values))

    async def _first(self, condition: str, *parameters: Any) -> RolloutEntry | None:
        query = f"SELECT * FROM rollouts {condition}"  # noqa: S608 - conditions of this class alone
        return await self._run(lambda tables: next((_entry(row) for row in tables.query(query, parameters)), None))

    async def _run(self, work: Callable[[Tables], T]) -> T:
        try:
            return await self._database.run(work)
        except (sqlite3.DatabaseError, DecodeError, ValueError, TypeError, KeyError) as error:
            raise unusable(error) from error


def _want(tables: Tables, wanted: DesiredRelease) -> RolloutEntry:
    rows = list(tables.query("SELECT * FROM rollouts WHERE rollout = ?", [wanted.rollout]))
    report = ReleaseReport(rollout=wanted.rollout, model_version=wanted.model_version, state=ReleaseReport.WAITING)
    entry = _entry(rows[0]) if rows else RolloutEntry(wanted, report)
    row = {"rollout": wanted.rollout, "wanted": wanted.SerializeToString(), "report": entry.report.SerializeToString()}
    newest = tables.execute("SELECT coalesce(max(sequence), 0) FROM rollouts").fetchone()[0]
    tables.table("rollouts").upsert(
        {**row, "sequence": newest + 1, "before": _written(entry.before), "probation": _written(entry.probation)}, pk="rollout"
    )
    tables.execute("DELETE FROM rollouts WHERE sequence <= ?", [newest + 1 - MOST_KEPT])
    return RolloutEntry(wanted, entry.report, entry.before, entry.probation)


def _written(value: Before | ProbationRecord | None) -> str:
    return "" if value is None else json.dumps(asdict(value))


def _entry(row: Mapping[str, Any]) -> RolloutEntry:
    before = json.loads(row["before"]) if row["before"] else None
    probation = json.loads(row["probation"]) if row["probation"] else None
    return RolloutEntry(
        DesiredRelease.FromString(row["wanted"]),
        ReleaseReport.FromString(row["report"]),
        None if before is None else Before(**before),
        None
        if probation is None
        else ProbationRecord(**{**probation, "new": LiveCounts(**probation["new"]), "old": LiveCounts(**probation["old"])}),
    )
