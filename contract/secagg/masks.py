"""Masks, and sums of vectors of 64-bit numbers modulo 2^64.

A vector is its entries' bytes, eight each, little-endian. Python adds integers of any length quickly, and vectors of numbers slowly: so a
vector is taken as two long integers, of its even and of its odd entries, with 64 bits of room above each entry. Carries gather there and
are cut off at the end.
"""

import struct
from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

ENTRY_BYTES = 8
MODULUS = 2**64

_LANE_BITS = 64
_FIRST_COUNTER = bytes(16)
"""A key makes one mask in its life, so that every mask may begin here."""


def mask(key: bytes, size_bytes: int) -> bytes:
    """Returns the mask of a key of 32 bytes: the keystream of AES-256 in counter mode (NIST SP 800-38A)."""
    return Cipher(AES256(key), CTR(_FIRST_COUNTER)).encryptor().update(bytes(size_bytes))


def to_vector(values: Sequence[int]) -> bytes:
    """Returns numbers as a vector; negative ones as two's complement."""
    return struct.pack(f"<{len(values)}Q", *(value % MODULUS for value in values))


def from_vector(vector: bytes) -> tuple[int, ...]:
    """Returns a vector's numbers, from 0 to 2^64 - 1."""
    return struct.unpack(f"<{len(vector) // ENTRY_BYTES}Q", vector)


def signed(values: Sequence[int]) -> tuple[int, ...]:
    """Returns numbers as two's complement has them, from -2^63 to 2^63 - 1."""
    return tuple(value - MODULUS if value >= MODULUS // 2 else value for value in values)


class VectorSum:
    """A sum of vectors.

    Args:
        entries: of each.
    """

    def __init__(self, entries: int) -> None:
        self._size_bytes = entries * ENTRY_BYTES
        pairs = (entries + 1) // 2
        self._all = (1 << 8 * self._size_bytes) - 1
        self._lanes = int.from_bytes((b"\xff" * ENTRY_BYTES + bytes(ENTRY_BYTES)) * pairs, "little")
        self._ones = int.from_bytes((b"\x01" + bytes(2 * ENTRY_BYTES - 1)) * pairs, "little")
        self._even = self._odd = 0

    def add(self, vector: bytes) -> None:
        """Adds a vector."""
        value = int.from_bytes(vector, "little")
        self._even += value & self._lanes
        self._odd += value >> _LANE_BITS & self._lanes

    def subtract(self, vector: bytes) -> None:
        """Adds what makes a vector nothing: all its bits turned, and one more in each entry."""
        value = int.from_bytes(vector, "little") ^ self._all
        self._even += (value & self._lanes) + self._ones
        self._odd += (value >> _LANE_BITS & self._lanes) + self._ones

    def total(self) -> bytes:
        """Returns the sum, each entry modulo 2^64."""
        value = (self._even & self._lanes) | (self._odd & self._lanes) << _LANE_BITS
        return (value & self._all).to_bytes(self._size_bytes, "little")
