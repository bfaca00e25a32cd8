"""Noise that hides one device in a sum: each device adds a part of it before its vector is masked, so that nobody ever has a sum without.

The discrete Gaussian is sampled exactly, from random bits, with whole numbers alone: floating point would show in its tails what it should
hide. Of a sum of discrete Gaussians, `privacy_account.py` says how much it hides.

Sources: Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (2020), algorithms 1 to 3; Kairouz, Liu, Steinke, "The
Distributed Discrete Gaussian Mechanism for Federated Learning with Secure Aggregation" (2021).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

from contract.errors import InvalidRequest, Reason
from contract.secagg.masks import to_vector

Bits = Callable[[int], int]
"""Returns a number of so many random bits, as `secrets.randbits` does."""

LEAST_VARIANCE = Fraction(1, 4)
"""Of one device's part: below it, a sum of parts is no longer like a discrete Gaussian (Kairouz, Liu, Steinke, proposition 14)."""

MOST_SUM = 2**62
"""What the contributions of a cohort come to at most, and what their noise stays below but for a chance of 2^-180."""
_MOST_SUM_VARIANCE = 2**116
_MOST_AGENTS = 64


@dataclass(frozen=True, slots=True)
class Noise:
    """How much noise a sum of whole numbers has at least.

    Args:
        norm: to which each vector is clipped (Euclidean).
        variance: of the noise in each entry of the sum, of honest devices' parts alone.
        fewest_honest: by how many devices it is borne (`rules.fewest_honest`).
    """

    norm: int
    variance: Fraction
    fewest_honest: int

    def __post_init__(self) -> None:
        if self.norm < 1 or self.fewest_honest < 1 or self.variance_each < LEAST_VARIANCE:
            raise _invalid("its norm is 1 at least, and a device's part of the noise has a variance of 1/4 at least")
        if _MOST_AGENTS * self.norm > MOST_SUM or _MOST_AGENTS * self.variance_each > _MOST_SUM_VARIANCE:
            raise _invalid("a sum over 64 devices could exceed 64 bits")

    @property
    def variance_each(self) -> Fraction:
        """The variance of one device's part."""
        return self.variance / self.fewest_honest

    def contribution(self, values: Sequence[int], bits: Bits) -> bytes:
        """Returns a device's vector: clipped, with its part of the noise."""
        variance = self.variance_each
        return to_vector([value + discrete_gaussian(variance, bits) for value in clipped(values, self.norm)])


def to_fixed(values: Sequence[int | Fraction], scale_bits: int) -> list[int]:
    """Returns numbers times 2^scale_bits, the nearest whole ones."""
    return [round(value * 2**scale_bits) for value in values]


def clipped(values: Sequence[int], norm: int) -> list[int]:
    """Returns a vector whose Euclidean norm is at most so much: itself, or shortened, each entry rounded towards zero."""
    square = sum(value * value for value in values)
    if square <= norm * norm:
        return list(values)
    length = isqrt(square - 1) + 1
    return [value * norm // length if value >= 0 else -(-value * norm // length) for value in values]


def discrete_gaussian(variance: Fraction, bits: Bits) -> int:
    """Draws a whole number x with a probability in proportion to exp(-x^2 / 2 variance)."""
    top, bottom = variance.numerator, variance.denominator
    scale = isqrt(top // bottom) + 1
    while True:
        drawn = discrete_laplace(scale, bits)
        if happens_exp((abs(drawn) * bottom * scale - top) ** 2, 2 * top * bottom * scale * scale, bits):
            return drawn


def discrete_laplace(scale: int, bits: Bits) -> int:
    """Draws a whole number x with a probability in proportion to exp(-|x| / scale)."""
    while True:
        part = below(scale, bits)
        if not happens_exp(part, scale, bits):
            continue
        whole = 0
        while happens_exp(1, 1, bits):
            whole += 1
        size, is_negative = part + scale * whole, bits(1)
        if size or not is_negative:
            return -size if is_negative else size


def happens_exp(top: int, bottom: int, bits: Bits) -> bool:
    """Says yes with a probability of exp(-top / bottom), exactly."""
    whole, rest = divmod(top, bottom)
    return all(_happens_exp_of_fraction(1, 1, bits) for _ in range(whole)) and _happens_exp_of_fraction(rest, bottom, bits)


def below(bound: int, bits: Bits) -> int:
    """Draws a whole number from 0 to bound - 1, each as likely."""
    length = (bound - 1).bit_length()
    while (drawn := bits(length) if length else 0) >= bound:
        pass
    return drawn


def _happens_exp_of_fraction(top: int, bottom: int, bits: Bits) -> bool:
    """For top / bottom from 0 to 1: yes if the first k at which a chance of top / (bottom k) fails is odd."""
    count = 1
    while below(bottom * count, bits) < top:
        count += 1
    return count % 2 == 1


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.CONTRIBUTION_INVALID, f"The noise cannot be used: {why}. Change the norm, the scale or the variance.")
