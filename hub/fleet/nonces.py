"""Nonces for recoveries: good for a minute, and once, whichever process of the hub gave them out.

A nonce says itself until when it is good, under a MAC whose key is derived from the CA's, which all processes share. To give one out costs
no write, so that nobody can fill the store by asking; those that were spent are kept until they would be too old.
"""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Connection

from hub.clock import Clock
from hub.fleet.enrollment import Randomness
from hub.store import nonces

RANDOM_BYTES = 16
TIME_BYTES = 8
MAC_BYTES = 32
NONCE_LIFE = timedelta(minutes=1)
KEPT = timedelta(hours=1)
"""Spent ones are kept for so long after their end: the clocks of two processes differ by far less."""

_CONTEXT = b"seawall-recovery-nonce-v1"


class Nonces:
    """Gives out nonces and takes them back.

    Args:
        key: returns the CA's; one that was given out before the CA was replaced is not good, and the agent asks again.
        clock: the time, in UTC.
        randomness: returns so many random bytes.
    """

    def __init__(self, key: Callable[[], ec.EllipticCurvePrivateKey], clock: Clock, randomness: Randomness) -> None:
        self._key = key
        self._clock = clock
        self._randomness = randomness

    def create(self) -> tuple[bytes, datetime]:
        """Returns a nonce, and until when it is good."""
        good_until = self._clock() + NONCE_LIFE
        content = self._randomness(RANDOM_BYTES) + int(good_until.timestamp() * 1000).to_bytes(TIME_BYTES)
        return content + self._mac(content), good_until

    def is_good(self, nonce: bytes) -> bool:
        """Says whether a nonce is one of this hub's, and not too old."""
        content, mac = nonce[: RANDOM_BYTES + TIME_BYTES], nonce[RANDOM_BYTES + TIME_BYTES :]
        return hmac.compare_digest(mac, self._mac(content)) and self._clock() < _good_until(content)

    def spend(self, nonce: bytes, connection: Connection) -> bool:
        """Says whether a good nonce was not spent yet, and makes it so."""
        return nonces.spend(connection, nonce, expire_time=_good_until(nonce) + KEPT, now=self._clock())

    def _mac(self, content: bytes) -> bytes:
        secret = self._key().private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return hmac.digest(HKDF(hashes.SHA256(), MAC_BYTES, salt=None, info=_CONTEXT).derive(secret), content, "sha256")


def _good_until(nonce: bytes) -> datetime:
    milliseconds = int.from_bytes(nonce[RANDOM_BYTES : RANDOM_BYTES + TIME_BYTES])
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
