"""What was learnt: counts of use, added up by what agents have in common, and sums of judged answers by cohort, as they are fitted to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import sqrt

from contract.calibration.cohorts import CohortSum
from contract.calibration.report import Report
from contract.errors import InvalidRequest, NotPossibleNow, Reason
from contract.privacy_account import epsilon
from contract.subjects import Judged, Usage
from contract.usage import named
from hub.learning.cohorts import Group
from hub.learning.drift import Drift, Week, drift
from hub.store.learning import SUCCEEDED, CohortRecord, RoundRecord

DELTA = 1e-6
"""At which an epsilon is given."""


@dataclass(frozen=True, slots=True)
class GroupSums:
    """The sums of a group.

    Args:
        group: what the agents have in common; without a field: it is not the same for all of them.
        contributors: how many agents are in it.
        cohorts: in how many cohorts.
        sums: by cell of the schema. Noise may bring one below nothing.
        standard_deviation: of the noise in each sum.
        epsilon: what this has cost each agent at `DELTA`; None: a sum without noise is among them.
        drift: of its prompts from where they lay in another week; None: that is not known.
        no_drift_reason: why it is not, where it was asked for.
    """

    group: Group
    contributors: int
    cohorts: int
    sums: dict[str, int]
    standard_deviation: float
    epsilon: float | None
    drift: Drift | None = None
    no_drift_reason: str = ""


def merge(rounds: Iterable[RoundRecord], schema_version: int, group_by: Sequence[str]) -> list[GroupSums]:
    """Returns the sums of each group. An agent is in one cohort of a window, so that what it gave away does not add up.

    Args:
        rounds: of one window.
        schema_version: whose sums are wanted; others cannot be added to them.
        group_by: fields by which the sums are told apart.
    """
    groups: dict[Group, list[CohortRecord]] = {}
    for one in rounds:
        for cohort in one.cohorts:
            if isinstance(one.subject, Usage) and cohort.state == SUCCEEDED and one.schema_version == schema_version:
                group = tuple((name, cohort.group[name]) for name in group_by if name in cohort.group)
                groups.setdefault(group, []).append(cohort)
    return [_merged(group, cohorts) for group, cohorts in sorted(groups.items())]


def held_against(groups: Iterable[GroupSums], before: Iterable[GroupSums], week: str) -> list[GroupSums]:
    """Returns the sums of a week, each group's with how far its prompts have moved since another week.

    Args:
        groups: of the week.
        before: of the other one; none: it has no report.
        week: the other one.
    """
    weeks = {group.group: Week(group.sums, group.standard_deviation) for group in before}
    missing = f"{week} has no report of these agents" if weeks else f"there is no report of {week}"
    return [_held(group, weeks[group.group]) if group.group in weeks else replace(group, no_drift_reason=missing) for group in groups]


def calibration_report(record: RoundRecord) -> Report:
    """Returns the sums of a round of confidence or similarity, by cohort; which of them count, `contract.calibration.cohorts` says.

    Raises:
        InvalidRequest: FIELD_INVALID, it is of something else.
        NotPossibleNow: ROUND_SHORT, no cohort of it has a sum.
    """
    subject = record.subject
    if not isinstance(subject, Judged):
        raise InvalidRequest(Reason.FIELD_INVALID, f"The round {record.round_id} is of use: seawall-hub learning report shows that.")
    ended = [cohort for cohort in record.cohorts if cohort.state == SUCCEEDED]
    if not ended:
        raise NotPossibleNow(
            Reason.ROUND_SHORT, f"The round {record.round_id} has no sums: seawall-hub learning rounds says why, or how far it is."
        )
    sums = tuple(CohortSum(cohort.contributors, cohort.sums, cohort.variance) for cohort in ended)
    return Report(subject.score, subject.model, subject.digest, sums)


def _held(group: GroupSums, before: Week) -> GroupSums:
    found = drift(Week(group.sums, group.standard_deviation), before)
    return replace(group, drift=found, no_drift_reason="in one of the weeks too few prompts were seen to say" if found is None else "")


def _merged(group: Group, cohorts: Sequence[CohortRecord]) -> GroupSums:
    costs = [cohort.rho for cohort in cohorts]
    return GroupSums(
        group,
        sum(cohort.contributors for cohort in cohorts),
        len(cohorts),
        named([sum(column) for column in zip(*(cohort.sums for cohort in cohorts), strict=True)]),
        sqrt(sum(cohort.variance for cohort in cohorts)),
        epsilon(max(costs), DELTA) if all(costs) else None,
    )
