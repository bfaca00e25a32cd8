"""The gates of the fleet: what the agents of a wave have measured, taken together.

The names of figures are those of contract/health.py. What an agent says may be absurd: a share's rise that is none counts for nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

from hub.learning.said import Said
from hub.release.plan import Gates

ESCALATION_SHARE_RISE = "escalation_share_rise"
SPEED_RATIO = "speed_ratio"
NEGATIVE_SHARE_RISE = "negative_share_rise"
LEARNED_NEGATIVE_SHARE_RISE = "learned_negative_share_rise"

DEVIATIONS = 2
"""What noise and chance can do is taken to be so many standard deviations."""

LEAST_DEVIATIONS = 3
"""A number of answers that is not so many standard deviations of its noise above nothing may be any."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What a report of counts says of a version and of the one before it.

    Args:
        week: of the report.
        new: what people said of the version's answers.
        old: of the other one's.
        standard_deviation: of the noise in each of the four numbers.
    """

    week: str
    new: Said
    old: Said
    standard_deviation: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a gate is broken.

    Args:
        is_broken: beyond doubt.
        why: with the figures, or why it is not known; empty: the gate holds beyond doubt.
    """

    is_broken: bool
    why: str = ""


def failed_gate(gates: Gates, figures: Sequence[Mapping[str, float]]) -> str:
    """Returns which gate does not hold, and why; empty: all do. A figure that no agent has measured holds every gate.

    Args:
        gates: the limits.
        figures: of each agent that has proven the version, by name.
    """
    return (
        _risen(ESCALATION_SHARE_RISE, gates.max_escalation_share_rise, figures)
        or _slowed(gates.min_speed_ratio, figures)
        or _risen(NEGATIVE_SHARE_RISE, gates.max_negative_share_rise, figures)
    )


def _risen(name: str, limit: float | None, figures: Sequence[Mapping[str, float]]) -> str:
    values = [one[name] for one in figures if -1 <= one.get(name, 2) <= 1]
    if limit is None or not values:
        return ""
    mean = sum(values) / len(values)
    return f"the mean {name} of {len(values)} agents is {mean:.4g}; at most {limit:.4g} may be." if mean > limit else ""


def _slowed(limit: float | None, figures: Sequence[Mapping[str, float]]) -> str:
    values = [one[SPEED_RATIO] for one in figures if one.get(SPEED_RATIO, -1) >= 0]
    if limit is None or not values:
        return ""
    middle = median(values)
    return f"the median {SPEED_RATIO} of {len(values)} agents is {middle:.4g}; at least {limit:.4g} must be." if middle < limit else ""


def judge_learned(limit: float, learned: Learned) -> Judgement:
    """Returns whether the share of answers that people called bad has risen by more than it may.

    An answer more of either kind is counted than there was, which keeps few answers from saying much: Agresti and Caffo, "Simple and
    Effective Confidence Intervals for Proportions" (2000). To their variance comes that of the noise.
    """
    if not says_something(learned):
        return Judgement(False, f"the report of {learned.week} counts too few answers that people called good or bad")
    noise = learned.standard_deviation**2
    (new, new_variance), (old, old_variance) = (_share(said, noise) for said in (learned.new, learned.old))
    rise, doubt = new - old, DEVIATIONS * sqrt(new_variance + old_variance)
    said = f"by the report of {learned.week} it has gone from {old:.3g} to {new:.3g}, up by {rise:.3g} ± {doubt:.2g}"
    if rise - doubt > limit:
        return Judgement(True, f"{LEARNED_NEGATIVE_SHARE_RISE}: {said}; at most {limit:.4g} may be.")
    return Judgement(False, "" if rise + doubt <= limit else f"{said}, and {limit:.4g} may be")


def says_something(learned: Learned) -> bool:
    """Returns whether a report counts more answers of either version than noise alone may come to."""
    least = LEAST_DEVIATIONS * sqrt(2) * learned.standard_deviation
    return all(said.good + said.bad > least for said in (learned.new, learned.old))


def _share(said: Said, noise: float) -> tuple[float, float]:
    """Returns the share of bad answers, and its variance: by chance, and to the first order by noise of a variance in either number."""
    answers = said.good + said.bad + 2
    share = min(max((said.bad + 1) / answers, 0.0), 1.0)
    by_noise = noise * ((1 - share) ** 2 + share**2) / answers**2
    return share, share * (1 - share) / answers + by_noise
