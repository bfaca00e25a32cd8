"""Who is asked together. A cohort lies within one group, so that sums by group cost no device a second answer."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contract.secagg.rules import MOST_AGENTS

Group = tuple[tuple[str, str], ...]
"""What agents of a cohort have in common: a field such as `model` or `labels.region`, and its value. Empty: they are of several groups."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many make a cohort.

    Args:
        smallest: fewer are never asked: it is what the devices' own rules allow.
        wanted: a group of fewer is asked together with other small ones, if there are such.
    """

    smallest: int = 8
    wanted: int = 20


@dataclass(frozen=True, slots=True)
class Cohort:
    """Agents that are asked together, sorted by name."""

    group: Group
    agents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """All cohorts.

    Args:
        cohorts: of 64 at most.
        left_out: how many agents are in none, since too few are of their kind.
    """

    cohorts: tuple[Cohort, ...]
    left_out: int


def draw(groups: Iterable[tuple[str, Group]], sizes: Sizes, randomness: random.Random) -> Drawn:
    """Returns cohorts, drawn at random within groups.

    Args:
        groups: agents' ids, and the group of each.
        sizes: of cohorts.
        randomness: nobody should foresee who is in a cohort with whom.
    """
    members: dict[Group, list[str]] = {}
    for agent, group in groups:
        members.setdefault(group, []).append(agent)
    small = sorted(group for group, agents in members.items() if len(agents) < sizes.wanted)
    if len(small) > 1:
        members[()] = [agent for group in small for agent in members.pop(group)]
    asked = {group: agents for group, agents in members.items() if len(agents) >= sizes.smallest}
    cohorts = [cohort for group in sorted(asked) for cohort in _split(group, asked[group], randomness)]
    return Drawn(tuple(cohorts), sum(map(len, members.values())) - sum(map(len, asked.values())))


def _split(group: Group, agents: Sequence[str], randomness: random.Random) -> list[Cohort]:
    """Returns cohorts of at most 64, as equal as can be."""
    shuffled = sorted(agents)
    randomness.shuffle(shuffled)
    count = -(-len(shuffled) // MOST_AGENTS)
    return [Cohort(group, tuple(sorted(shuffled[number::count]))) for number in range(count)]
