"""What a round is to be: who is asked for which window, and the plan of each cohort."""

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from contract.errors import InvalidRequest, NotPossibleNow, Reason
from contract.learning import span, terms, windows_over
from contract.secagg.messages import HASH_BYTES, Plan
from contract.secagg.roster import Roster
from contract.secagg.rules import least_threshold
from contract.subjects import USAGE, Confidence, Judged, Subject
from hub.config import LearningSettings
from hub.fleet.enrollment import Randomness
from hub.learning.cohorts import Drawn, Group, Sizes, draw
from hub.store import agents, learning
from hub.store.agents import ACTIVE, AgentRecord
from seawall.hub.v1 import agent_pb2

MODEL = "model"
LABEL = "labels."

CHUNK = 1000
"""Agents read at once."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks for.

    Args:
        window: the week; empty: the newest that is over.
        group_by: `model` or `labels.KEY`: agents of a cohort have these in common.
        is_exact: whether sums bear no noise, which few devices allow.
        subject: what is summed.
    """

    window: str = ""
    group_by: tuple[str, ...] = ()
    is_exact: bool = False
    subject: Subject = USAGE


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
    if isinstance(wanted.subject, Judged) and not _DIGEST.fullmatch(wanted.subject.model):
        raise InvalidRequest(
            Reason.FIELD_INVALID, "A model is named by its digest, sha256:…: seawall-hub agents list has that of each bundle."
        )
    return replace(wanted, window=window)


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
class Drawing:
    """How cohorts are drawn now.

    Args:
        roster: the signed one.
        settings: of learning.
        now: the time, in UTC.
        random: nobody should foresee who is in a cohort with whom.
        is_by_itself: nobody has asked for the round: each agent is asked once for a window, and after the first round only where that is
            worth another one.
    """

    roster: Roster
    settings: LearningSettings
    now: datetime
    random: random.Random
    is_by_itself: bool

    def draw(self, connection: Connection, wanted: Wanted) -> Drawn:
        """Returns cohorts of those who can be asked and have not reported the window.

        Raises:
            NotPossibleNow: COHORT_TOO_SMALL.
        """
        asked = learning.asked(connection, wanted.subject.window(wanted.window))
        left_out = {agent for agent, is_exposed in asked.items() if is_exposed or self.is_by_itself}
        found = [
            record for record in _everyone(connection) if record.agent_id not in left_out and self._can_be_asked(record, wanted.subject)
        ]
        least = self.settings.cohort if self.is_by_itself and asked else self.settings.smallest_cohort
        groups = [(record.agent_id, _group(record, wanted.group_by)) for record in found]
        drawn = draw(groups, Sizes(least, self.settings.cohort), self.random)
        if not drawn.cohorts:
            raise NotPossibleNow(
                Reason.COHORT_TOO_SMALL,
                f"{len(found)} agents can be asked for {wanted.window}, and no {least} of them together. Those can be that are connected, "
                "are in the signed roster with their member key, have the model that is asked of, and have not reported it yet.",
            )
        return drawn

    def _can_be_asked(self, record: AgentRecord, subject: Subject) -> bool:
        """Whether an agent is there. One whose key is not the roster's would be refused by the others, and one of another model refuses."""
        if isinstance(subject, Confidence) and _report(record).model_digest != subject.model:
            return False
        since = self.now - timedelta(seconds=self.settings.heard_seconds)
        is_there = record.replica_id is not None and record.last_seen_time is not None and record.last_seen_time >= since
        return is_there and record.state == ACTIVE and self.roster.members.get(record.agent_id, "") == record.member_key_hash


def make_plan(cohort: Sequence[str], subject: Subject, window: str, is_exact: bool, roster: Roster, randomness: Randomness) -> Plan:
    """Returns the plan of a cohort, of those who have come."""
    asked = terms(subject, window, is_exact)
    fields = (asked.window, asked.schema, asked.entries, asked.scale_bits, least_threshold(len(cohort)))
    return Plan(randomness(HASH_BYTES), *fields, roster.version, roster.digest, tuple(cohort))


def _everyone(connection: Connection) -> Iterable[AgentRecord]:
    after = ""
    while chunk := agents.page(connection, after, CHUNK):
        yield from chunk
        after = chunk[-1].agent_id


def _group(record: AgentRecord, group_by: Sequence[str]) -> Group:
    values: Mapping[str, str] = {MODEL: _report(record).model, **{f"{LABEL}{key}": value for key, value in record.labels.items()}}
    return tuple((name, values.get(name, "")) for name in group_by)


def _report(record: AgentRecord) -> agent_pb2.AgentReport:
    return agent_pb2.AgentReport.FromString(record.report or b"")
