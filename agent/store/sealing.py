"""How a value is sealed: AES-256-GCM (NIST SP 800-38D), bound to the place where it lies.

A nonce is 96 random bits. SP 800-38D, section 8.3, allows a key 2^32 of them; `agent.store.subjects` says why no key comes near.
"""

import json
import secrets
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = b"\x01"

RandomBytes = Callable[[int], bytes]


class Unreadable(Exception):
    """A sealed value that does not open: its key is another one or destroyed, or somebody has changed or moved it."""


def derive(key: bytes, purpose: str) -> bytes:
    """Returns a key for one purpose, 32 bytes (HKDF-SHA256, RFC 5869).

    Args:
        key: 32 random bytes.
        purpose: no two uses of a key have the same one.
    """
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"seawall agent v1: {purpose}".encode()).derive(key)


class Sealer:
    """Seals and opens values under one key.

    Args:
        key: 32 bytes.
        bound: what every value is bound to, beside its place: a value sealed for something else does not open.
        random_bytes: returns so many, for nonces.
    """

    def __init__(self, key: bytes, *bound: str, random_bytes: RandomBytes = secrets.token_bytes) -> None:
        self._cipher = AESGCM(key)
        self._bound = bound
        self._random_bytes = random_bytes

    def seal(self, content: bytes, *place: str) -> bytes:
        """Returns a value as it may lie on the disk.

        Args:
            content: the value.
            place: table, column and what names the row.
        """
        nonce = self._random_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, content, self._associated(place))

    def open(self, sealed: bytes, *place: str) -> bytes:
        """Returns what was sealed for this place.

        Raises:
            Unreadable: it was not, or not with this key.
        """
        head = len(_VERSION) + _NONCE_BYTES
        if sealed[: len(_VERSION)] != _VERSION or len(sealed) < head:
            raise Unreadable
        try:
            return self._cipher.decrypt(sealed[len(_VERSION) : head], sealed[head:], self._associated(place))
        except InvalidTag:
            raise Unreadable from None

    def _associated(self, place: tuple[str, ...]) -> bytes:
        return json.dumps([*self._bound, *place]).encode()
