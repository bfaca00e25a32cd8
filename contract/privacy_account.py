"""How much a device has given away in all: zero-concentrated differential privacy adds up, and becomes an epsilon at a delta at the end.

Floating point will do here: what is added up is a bound, rounded up by far less than what is not known about the noise of other devices.

Sources: Canonne, Kamath, Steinke (2020), proposition 12, from rho to epsilon; Kairouz, Liu, Steinke (2021), proposition 14, for sums of
discrete Gaussians.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import exp, fsum, log, log1p, pi, sqrt

from contract.errors import NotPermitted, Reason

_MOST_LOG_ORDER = 40.0
_LEAST_LOG_ORDER = -20.0
_STEPS = 120


@dataclass(frozen=True, slots=True)
class Budget:
    """What a device may give away in its life: the odds of whether it was there change by e^epsilon at most, but for a chance of delta."""

    epsilon: float
    delta: float


@dataclass(frozen=True, slots=True)
class Account:
    """What a device has given away.

    Args:
        rho: the sum over all its queries, those of failed rounds too.
    """

    rho: float = 0.0

    def epsilon(self, delta: float) -> float:
        """Returns what it comes to at a delta."""
        return epsilon(self.rho, delta)

    def spend(self, rho: float, budget: Budget) -> "Account":
        """Returns the account with one more query in it.

        Raises:
            NotPermitted: PRIVACY_SPENT.
        """
        after = Account(self.rho + rho)
        if not rho > 0 or after.epsilon(budget.delta) > budget.epsilon:
            raise NotPermitted(Reason.PRIVACY_SPENT, "The device's privacy budget does not reach for this query: it reports no more.")
        return after


def rho_of_sum(sensitivity: float, variance_each: Fraction, honest: int, entries: int) -> float:
    """Returns the rho of one sum that bears the discrete Gaussian noise of several devices.

    Args:
        sensitivity: by how much one device changes the sum (Euclidean): the norm its vector is clipped to, if it is there or says nothing.
        variance_each: of each device's noise, 1/4 at least.
        honest: how many devices have added theirs.
        entries: of the vector.
    """
    variance = float(variance_each)
    gap = 10 * fsum(exp(-2 * pi**2 * variance * number / (number + 1)) for number in range(1, honest))
    base = sensitivity / sqrt(honest * variance)
    return min(base**2 + gap * entries / 2, (base + gap * sqrt(entries)) ** 2) / 2


def epsilon(rho: float, delta: float) -> float:
    """Returns the least epsilon that a rho proves at a delta.

    Every order proves one; the least is searched for, so that an inexact search is a proof still.
    """
    if rho <= 0:
        return 0.0
    low, high = _LEAST_LOG_ORDER, _MOST_LOG_ORDER
    for _ in range(_STEPS):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if _epsilon_at(rho, delta, exp(left)) < _epsilon_at(rho, delta, exp(right)):
            high = right
        else:
            low = left
    return max(0.0, _epsilon_at(rho, delta, exp((low + high) / 2)))


def _epsilon_at(rho: float, delta: float, above_one: float) -> float:
    order = 1 + above_one
    return rho * order - log(delta * order) / above_one + log1p(-1 / order)
