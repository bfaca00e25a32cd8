"""What was learnt of a window: the sums of cohorts, added up by what their agents have in common."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from contract.privacy_account import epsilon
from contract.usage import named
from hub.learning.cohorts import Group
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
    """

    group: Group
    contributors: int
    cohorts: int
    sums: dict[str, int]
    standard_deviation: float
    epsilon: float | None


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
            if cohort.state == SUCCEEDED and one.schema_version == schema_version:
                group = tuple((name, cohort.group[name]) for name in group_by if name in cohort.group)
                groups.setdefault(group, []).append(cohort)
    return [_merged(group, cohorts) for group, cohorts in sorted(groups.items())]


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
