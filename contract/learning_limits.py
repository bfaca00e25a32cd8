"""What a site says of its part in learning. It may be said twice, in a configuration and in a signed policy: the stricter holds."""

import json
from dataclasses import asdict, dataclass

from contract.errors import InvalidRequest, Reason
from contract.leaves import canonical
from contract.privacy_account import Budget
from contract.secagg.rules import MOST_AGENTS

LEAST_COHORT = 4
"""Below it a sum hides nobody."""
MOST_EPSILON = 1000.0

NEVER = 0
"""No cohort is large enough for a sum without noise."""


@dataclass(frozen=True, slots=True)
class LearningLimits:
    """The limits.

    Args:
        enabled: whether the device takes part at all.
        smallest_cohort: no sum has fewer contributions.
        exact_cohort: a sum without noise is of so many devices at least; 0: never.
        epsilon: what the device gives away in its life, over all sums with noise.
        delta: at which that holds.
    """

    enabled: bool
    smallest_cohort: int = 8
    exact_cohort: int = NEVER
    epsilon: float = 10.0
    delta: float = 1e-6

    def __post_init__(self) -> None:
        if not LEAST_COHORT <= self.smallest_cohort <= MOST_AGENTS:
            raise _invalid(f"smallest_cohort is from {LEAST_COHORT} to {MOST_AGENTS}")
        if self.exact_cohort != NEVER and not self.smallest_cohort <= self.exact_cohort <= MOST_AGENTS:
            raise _invalid(f"exact_cohort is {NEVER}, which is never, or from smallest_cohort to {MOST_AGENTS}")
        if not 0 < self.epsilon <= MOST_EPSILON or not 0 < self.delta <= 1e-3:
            raise _invalid(f"epsilon is above 0 and at most {MOST_EPSILON:g}, delta above 0 and at most 0.001")

    @property
    def budget(self) -> Budget:
        """What may be given away."""
        return Budget(self.epsilon, self.delta)

    def may_be_exact(self, cohort_size: int) -> bool:
        """Says whether a sum of so many may be without noise."""
        return self.exact_cohort != NEVER and cohort_size >= self.exact_cohort

    def stricter(self, other: "LearningLimits") -> "LearningLimits":
        """Returns what both allow."""
        smallest = max(self.smallest_cohort, other.smallest_cohort)
        both_exact = NEVER not in (self.exact_cohort, other.exact_cohort)
        exact = max(self.exact_cohort, other.exact_cohort, smallest) if both_exact else NEVER
        epsilon, delta = min(self.epsilon, other.epsilon), min(self.delta, other.delta)
        return LearningLimits(self.enabled and other.enabled, smallest, exact, epsilon, delta)

    def to_json(self) -> bytes:
        """Returns the file that a signed policy brings."""
        return canonical(asdict(self)).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes) -> "LearningLimits":
        """Reads that file. Every field must be there: what was left out by mistake would be a default that nobody has signed.

        Raises:
            InvalidRequest: FIELD_INVALID.
        """
        try:
            fields = json.loads(content)
            if set(fields) != {*asdict(cls(False))}:
                raise ValueError(f"fields are {', '.join(asdict(cls(False)))}")
            enabled, smallest, exact = fields["enabled"], fields["smallest_cohort"], fields["exact_cohort"]
            epsilon, delta = fields["epsilon"], fields["delta"]
            if type(enabled) is not bool or type(smallest) is not int or type(exact) is not int:
                raise ValueError("enabled is true or false, the cohorts are whole numbers")
            if any(type(number) not in (int, float) for number in (epsilon, delta)):
                raise ValueError("epsilon and delta are numbers")
        except (TypeError, ValueError, RecursionError) as error:
            raise _invalid(str(error)[:200]) from error
        return cls(enabled, smallest, exact, float(epsilon), float(delta))


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.FIELD_INVALID, f"The limits of learning cannot be used: {why}.")
