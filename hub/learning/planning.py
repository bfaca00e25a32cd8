"""What a round is to be: who is asked for which window, and the plan of each cohort."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from contract.errors import InvalidRequest, Reason
from contract.learning import noise_of, rho_of, span, terms, windows_over
from contract.secagg.messages import HASH_BYTES, Plan
from contract.secagg.roster import Roster
from contract.secagg.rules import least_threshold
from hub.fleet.enrollment import Randomness
from hub.learning.cohorts import Cohort, Group
from hub.store import agents
from hub.store.agents import ACTIVE, AgentRecord
from hub.store.learning import CohortRecord
from seawall.hub.v1 import agent_pb2

MODEL = "model"
LABEL = "labels."

CHUNK = 1000
"""Agents read at once."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks for.

    Args:
        window: the week; empty: the newest that is over.
        group_by: `model` or `labels.KEY`: agents of a cohort have these in common.
        is_exact: whether sums bear no noise, which few devices allow.
    """

    window: str = ""
    group_by: tuple[str, ...] = ()
    is_exact: bool = False


def checked(wanted: Wanted, now: datetime) -> Wanted:
    """Returns what is wanted, with its window filled in.

    Raises:
        InvalidRequest: FIELD_INVALID.
    """
    windows = windows_over(now)
    window = wanted.window or windows[0]
    span(window)
    if window not in windows:
        raise InvalidRequest(Reason.FIELD_INVALID, f"Devices do not report {window} now: ask for one of {', '.join(windows)}.")
    check_fields(wanted.group_by)
    return Wanted(window, wanted.group_by, wanted.is_exact)


def check_fields(group_by: Sequence[str]) -> None:
    """Checks by what agents are to be told apart.

    Raises:
        InvalidRequest: FIELD_INVALID.
    """
    for name in group_by:
        if name != MODEL and not (name.startswith(LABEL) and len(name) > len(LABEL)):
            raise InvalidRequest(Reason.FIELD_INVALID, f"'{name[:80]}' tells no agents apart: use {MODEL}, or {LABEL}KEY.")
    if len(set(group_by)) != len(group_by):
        raise InvalidRequest(Reason.FIELD_INVALID, "A field is named twice: name each once.")


@dataclass(frozen=True, slots=True)
class Heard:
    """Who can be asked now.

    Args:
        roster: the signed one.
        reachable: that can be sent something.
        since: agents that were not heard of since then are not asked.
    """

    roster: Roster
    reachable: Collection[str]
    since: datetime

    def has(self, record: AgentRecord) -> bool:
        """Says whether an agent can be asked. One whose key is not the roster's would be refused by the others."""
        return (
            record.state == ACTIVE
            and record.agent_id in self.reachable
            and record.last_seen_time is not None
            and record.last_seen_time >= self.since
            and self.roster.members.get(record.agent_id) == record.key_hash
        )


def candidates(connection: Connection, heard: Heard, group_by: Sequence[str]) -> list[tuple[str, Group]]:
    """Returns the agents that can be asked, and the group of each."""
    return [(record.agent_id, _group(record, group_by)) for record in _everyone(connection) if heard.has(record)]


def make_plan(cohort: Cohort, wanted: Wanted, roster: Roster, randomness: Randomness) -> Plan:
    """Returns the plan of a cohort."""
    asked = terms(wanted.window, wanted.is_exact)
    fields = (asked.window, asked.schema, asked.entries, asked.scale_bits, least_threshold(len(cohort.agents)))
    return Plan(randomness(HASH_BYTES), *fields, roster.version, roster.digest, cohort.agents)


def begun(cohort: Cohort, plan: Plan, is_exact: bool) -> CohortRecord:
    """Returns a cohort as it is kept when its round begins."""
    return CohortRecord(dict(cohort.group), len(cohort.agents), plan.threshold, rho=0.0 if is_exact else rho_of(plan))


def variance_of(plan: Plan, contributors: int, is_exact: bool) -> float:
    """Returns the variance of the noise in a sum: of all contributors' parts."""
    return 0.0 if is_exact else float(noise_of(plan).variance_each * contributors)


def _everyone(connection: Connection) -> Iterable[AgentRecord]:
    after = ""
    while chunk := agents.page(connection, after, CHUNK):
        yield from chunk
        after = chunk[-1].agent_id


def _group(record: AgentRecord, group_by: Sequence[str]) -> Group:
    report = agent_pb2.AgentReport.FromString(record.report or b"")
    values: Mapping[str, str] = {MODEL: report.model, **{f"{LABEL}{key}": value for key, value in record.labels.items()}}
    return tuple((name, values.get(name, "")) for name in group_by)
