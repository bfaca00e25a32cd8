"""Shares: any so many as the threshold give the secret back, fewer give nothing."""

from itertools import combinations
from random import Random

import pytest

from contract.secagg.shamir import PRIME, SECRET_BYTES, SHARE_BYTES, combine, split, weights

RANDOM = Random(1)
SECRET = bytes(range(32))


def test_the_field_is_of_a_prime_above_every_secret() -> None:
    assert PRIME > 2 ** (8 * SECRET_BYTES) - 1
    assert PRIME < 2 ** (8 * SHARE_BYTES)
    for base in (2, 3, 5, 7, 11, *(RANDOM.randrange(2, PRIME) for _ in range(20))):
        assert is_probably_prime(base)


def is_probably_prime(base: int) -> bool:
    """Miller's and Rabin's test (FIPS 186-5, B.3) of PRIME, whose predecessor is 8 times an odd number."""
    odd, twos = PRIME - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    value = pow(base, odd, PRIME)
    return value == 1 or any(pow(value, 2**power, PRIME) == PRIME - 1 for power in range(twos))


@pytest.mark.parametrize("secret", [bytes(32), SECRET, b"\xff" * 32], ids=["nothing", "some", "most"])
def test_any_threshold_of_shares_gives_the_secret_back(secret: bytes) -> None:
    shares = dict(zip(range(1, 7), split(secret, 4, range(1, 7), RANDOM.randbytes), strict=True))
    for points in combinations(shares, 4):
        assert combine(weights(points), shares) == secret


def test_fewer_shares_than_the_threshold_fit_every_secret() -> None:
    shares = dict(zip((1, 2), split(SECRET, 3, (1, 2, 3), RANDOM.randbytes), strict=False))
    for other in (bytes(32), SECRET, b"\xff" * 32):
        third = share_that_makes(other, shares)
        assert combine(weights((1, 2, 3)), {**shares, 3: third}) == other


def share_that_makes(secret: bytes, shares: dict[int, bytes]) -> bytes:
    """The third share that, with two that are known, gives a secret of one's choice."""
    by_point = weights((1, 2, 3))
    known = sum(by_point[point] * int.from_bytes(share, "big") for point, share in shares.items())
    wanted = (int.from_bytes(secret, "big") - known) * pow(by_point[3], -1, PRIME) % PRIME
    return wanted.to_bytes(SHARE_BYTES, "big")


def test_the_same_secret_is_shared_in_another_way_each_time() -> None:
    assert split(SECRET, 2, (1, 2), RANDOM.randbytes) != split(SECRET, 2, (1, 2), RANDOM.randbytes)


def test_a_threshold_of_one_gives_everybody_the_secret() -> None:
    assert split(SECRET, 1, (1, 2), RANDOM.randbytes) == [bytes(1) + SECRET] * 2


@pytest.mark.parametrize(
    ("secret", "threshold", "points"), [(b"short", 1, (1,)), (SECRET, 3, (1, 2)), (SECRET, 1, (1, 1)), (SECRET, 1, (0, 1))]
)
def test_what_cannot_be_shared_is_refused(secret: bytes, threshold: int, points: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="are needed"):
        split(secret, threshold, points, RANDOM.randbytes)


def test_shares_of_no_secret_are_told() -> None:
    assert combine({1: 1}, {1: (2**256).to_bytes(SHARE_BYTES, "big")}) is None
