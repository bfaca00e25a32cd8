"""The gates of the fleet: what the agents of a wave have measured, taken together.

The names of figures are those of contract/health.py. What an agent says may be absurd: a share's rise that is none counts for nothing.
"""

from collections.abc import Mapping, Sequence
from statistics import median

from hub.release.plan import Gates

ESCALATION_SHARE_RISE = "escalation_share_rise"
SPEED_RATIO = "speed_ratio"
NEGATIVE_SHARE_RISE = "negative_share_rise"


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
