"""Heads of logs: what the holder of a log signs, and what a witness adds.

A head says how many leaves a log had at a time, and their root. Who has signed two heads of one log that no consistency proof joins has
been caught. Signed by ECDSA on P-256 or P-384 with SHA-256 (FIPS 186-5), over JSON in canonical form behind a context of its own, so
that a signature means nothing elsewhere.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from contract.identity import key_hash
from contract.leaves import canonical

HEAD_CONTEXT = b"seawall-tree-head-v1\0"
WITNESS_CONTEXT = b"seawall-tree-head-witness-v1\0"

HUB_LOG = "hub"
"""The name of the hub's own log; an agent's is `agents/{agent}`."""


@dataclass(frozen=True, slots=True)
class Previous:
    """The head before a head.

    Args:
        hash: of it, see TreeHead.hash.
        size: of the log then.
        time: when it was made.
    """

    hash: bytes
    size: int
    time: datetime


@dataclass(frozen=True, slots=True)
class Chain:
    """What a head says of those before it, so that none of them can be taken away unseen.

    Args:
        previous: the one before; None: there was none.
        kept_since: heads that were older were forgotten in order when this one was made: that bounds what may be missing.
    """

    previous: Previous | None
    kept_since: datetime

    def to_dict(self) -> dict[str, Any]:
        """Returns it as plain JSON values."""
        before = self.previous
        named = None if before is None else {"hash": before.hash.hex(), "size": before.size, "time": written(before.time)}
        return {"previous": named, "kept_since": written(self.kept_since)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Reads it.

        Raises:
            ValueError, KeyError, TypeError: it is damaged.
        """
        named, kept_since = content["previous"], datetime.fromisoformat(content["kept_since"])
        if named is None:
            return cls(None, kept_since)
        return cls(Previous(bytes.fromhex(named["hash"]), int(named["size"]), datetime.fromisoformat(named["time"])), kept_since)


@dataclass(frozen=True, slots=True)
class TreeHead:
    """A log at one moment.

    Args:
        log: whose, `agents/{agent}` or `hub`.
        size: how many leaves.
        root: their tree's hash.
        time: when it was signed, UTC, to the millisecond.
        chain: what it says of the heads before; None: nothing, it is the hub's, or of an agent of an earlier version.
    """

    log: str
    size: int
    root: bytes
    time: datetime
    chain: Chain | None = None

    def signed_bytes(self) -> bytes:
        """Returns what the log's holder signs."""
        return HEAD_CONTEXT + canonical(self.to_dict()).encode()

    def hash(self) -> bytes:
        """Returns what the next head knows it by: SHA-256 of what is signed. Signed anew with another key, it is the same head."""
        return hashlib.sha256(self.signed_bytes()).digest()

    def as_previous(self) -> Previous:
        """Returns what the next head says of it."""
        return Previous(self.hash(), self.size, self.time)

    def to_dict(self) -> dict[str, Any]:
        """Returns the head as plain JSON values."""
        alone = {"log": self.log, "size": self.size, "root": self.root.hex(), "time": written(self.time)}
        return alone if self.chain is None else {**alone, **self.chain.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Reads a head.

        Raises:
            ValueError, KeyError, TypeError: it is none.
        """
        chain = Chain.from_dict(content) if "kept_since" in content else None
        time = datetime.fromisoformat(content["time"])
        return cls(str(content["log"]), int(content["size"]), bytes.fromhex(content["root"]), time, chain)


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head, and who has signed it.

    Args:
        head: what is signed.
        public_key: of the signer, SubjectPublicKeyInfo in DER; empty: nobody has, for the agent is not enrolled.
        signature: ECDSA, DER; empty as above.
    """

    head: TreeHead
    public_key: bytes = b""
    signature: bytes = b""

    @property
    def is_signed(self) -> bool:
        """Whether anybody says that he has."""
        return bool(self.signature or self.public_key)

    def is_good(self) -> bool:
        """Says whether the signature is of that key."""
        return verify(self.public_key, self.signature, self.head.signed_bytes())


@dataclass(frozen=True, slots=True)
class Witness:
    """A hub's word that a head goes on from all that it has witnessed of this log before.

    Args:
        time: when, UTC, to the millisecond.
        public_key: of the hub, SubjectPublicKeyInfo in DER.
        signature: ECDSA, DER.
    """

    time: datetime
    public_key: bytes
    signature: bytes

    def is_good(self, signed: SignedHead) -> bool:
        """Says whether it is about this head, signed by this very key."""
        return verify(self.public_key, self.signature, witnessed_bytes(signed, self.time))


def witnessed_bytes(signed: SignedHead, time: datetime) -> bytes:
    """Returns what a witness signs: the head, whose key signed it, and when it was seen."""
    content = {**signed.head.to_dict(), "key_hash": key_hash(signed.public_key), "witness_time": written(time)}
    return WITNESS_CONTEXT + canonical(content).encode()


def sign_head(key: ec.EllipticCurvePrivateKey, head: TreeHead) -> SignedHead:
    """Signs a head."""
    return SignedHead(head, public_der(key), key.sign(head.signed_bytes(), ec.ECDSA(SHA256())))


def witness_head(key: ec.EllipticCurvePrivateKey, signed: SignedHead, time: datetime) -> Witness:
    """Adds a witness's word. That it is true has been made sure of before."""
    return Witness(time, public_der(key), key.sign(witnessed_bytes(signed, time), ec.ECDSA(SHA256())))


def verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Says whether a signature is good; a key that cannot be read signs nothing."""
    try:
        key = load_der_public_key(public_key)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return False
        key.verify(signature, message, ec.ECDSA(SHA256()))
    except (ValueError, UnsupportedAlgorithm, InvalidSignature):
        return False
    return True


def public_der(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Returns the public half, SubjectPublicKeyInfo in DER."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def written(time: datetime) -> str:
    """Returns a time as signed: RFC 3339, UTC, milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")


def to_millisecond(time: datetime) -> datetime:
    """Cuts a time, so that it is the same when it is read again."""
    return time.astimezone(UTC).replace(microsecond=time.microsecond // 1000 * 1000)
