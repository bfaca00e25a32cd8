"""Shamir's secret sharing of 256-bit secrets, in the prime field of 2^256 + 297.

A share is the value of a polynomial of degree threshold - 1 whose constant term is the secret: fewer shares than the threshold say
nothing at all. Source: A. Shamir, "How to Share a Secret" (CACM 1979).
"""

from collections.abc import Callable, Mapping, Sequence

PRIME = 2**256 + 297
"""The smallest prime above every secret."""

SECRET_BYTES = 32
SHARE_BYTES = 33

_COEFFICIENT_BYTES = 48
"""Reduced from so many random bytes, a coefficient is uniform but for 2^-127."""


def split(secret: bytes, threshold: int, points: Sequence[int], randomness: Callable[[int], bytes]) -> list[bytes]:
    """Returns a share for each point.

    Args:
        secret: 32 bytes.
        threshold: how many shares give it back.
        points: from 1 on, each once.
        randomness: returns so many random bytes.
    """
    if len(secret) != SECRET_BYTES or not 1 <= threshold <= len(set(points)) == len(points) or min(points) < 1:
        raise ValueError("a secret of 32 bytes, and at least as many points as the threshold, from 1 on, are needed")
    upper = [int.from_bytes(randomness(_COEFFICIENT_BYTES), "big") % PRIME for _ in range(threshold - 1)]
    constant = int.from_bytes(secret, "big")
    return [_value(upper, constant, point).to_bytes(SHARE_BYTES, "big") for point in points]


def weights(points: Sequence[int]) -> dict[int, int]:
    """Returns Lagrange's weight of each point, for the value at 0. The same for every secret that the same points share."""
    found = {}
    for point in points:
        above = below = 1
        for other in points:
            if other != point:
                above, below = above * other % PRIME, below * (other - point) % PRIME
        found[point] = above * pow(below, -1, PRIME) % PRIME
    return found


def combine(point_weights: Mapping[int, int], shares: Mapping[int, bytes]) -> bytes | None:
    """Returns the secret, or None: the shares are of no secret. Shares of something else may give any secret: it has to be checked.

    Args:
        point_weights: of as many points as the threshold.
        shares: by point, one for each weight at least.
    """
    value = sum(weight * int.from_bytes(shares[point], "big") for point, weight in point_weights.items()) % PRIME
    return value.to_bytes(SECRET_BYTES, "big") if value.bit_length() <= 8 * SECRET_BYTES else None


def _value(upper: Sequence[int], constant: int, point: int) -> int:
    value = 0
    for coefficient in upper:
        value = (value * point + coefficient) % PRIME
    return (value * point + constant) % PRIME
