"""What a device makes for one round, and what two devices make of it together.

Sources: X25519 (RFC 7748), HKDF with SHA-256 (RFC 5869), AES-256-GCM (NIST SP 800-38D), ECDSA (FIPS 186-5). Every derived key is bound to
the round, to what it is for, and to both devices in order, and seals one message or makes one mask: so a nonce may be zero.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from contract.errors import InvalidRequest, Reason
from contract.secagg.messages import Keys, Survivors
from contract.secagg.shamir import SHARE_BYTES
from contract.tree_heads import public_der, verify

SEED_BYTES = 32
"""Of everything random that a mask or a key comes from: 256 bits."""

_KEYS_CONTEXT = b"seawall-secagg-keys-v1\0"
_SURVIVORS_CONTEXT = b"seawall-secagg-survivors-v1\0"
_COMMITMENT_CONTEXT = b"seawall-secagg-commitment-v1\0"
_SEALING = b"seawall-secagg-sealing-v1"
_PAIR_MASK = b"seawall-secagg-pair-mask-v1"
_OWN_MASK = b"seawall-secagg-own-mask-v1"
_NONCE = bytes(12)


@dataclass(frozen=True, slots=True)
class Secrets:
    """A device's secrets of one round.

    Args:
        encryption_seed: the private key under which shares are sealed; never shared.
        masking_seed: the private key of the masks with others; shared, and given back of a device that is dead.
        own_seed: of the device's own mask; shared, and given back of a device that is alive.
    """

    encryption_seed: bytes = field(repr=False)
    masking_seed: bytes = field(repr=False)
    own_seed: bytes = field(repr=False)

    @classmethod
    def make(cls, randomness: Callable[[int], bytes]) -> "Secrets":
        """Makes new ones."""
        return cls(randomness(SEED_BYTES), randomness(SEED_BYTES), randomness(SEED_BYTES))


def sign_keys(secrets: Secrets, round_id: bytes, agent: str, member_key: ec.EllipticCurvePrivateKey) -> Keys:
    """Returns the public half of a device's secrets, signed."""
    public = (public_x25519(secrets.encryption_seed), public_x25519(secrets.masking_seed), commitment(round_id, agent, secrets.own_seed))
    unsigned = Keys(round_id, agent, public_der(member_key), *public, b"")
    signature = member_key.sign(_KEYS_CONTEXT + _joined(*unsigned.signed_fields()), ec.ECDSA(SHA256()))
    return Keys(round_id, agent, unsigned.member_key, *public, signature)


def are_signed(keys: Keys) -> bool:
    """Says whether the member key that they name has signed them."""
    return verify(keys.member_key, keys.signature, _KEYS_CONTEXT + _joined(*keys.signed_fields()))


def sign_survivors(member_key: ec.EllipticCurvePrivateKey, survivors: Survivors, key_list_digest: bytes) -> bytes:
    """Signs who is alive and who is dead, of these keys."""
    return member_key.sign(_survivors_bytes(survivors, key_list_digest), ec.ECDSA(SHA256()))


def has_consented(keys: Keys, signature: bytes, survivors: Survivors, key_list_digest: bytes) -> bool:
    """Says whether the owner of some keys has signed the same."""
    return verify(keys.member_key, signature, _survivors_bytes(survivors, key_list_digest))


def public_x25519(seed: bytes) -> bytes:
    """Returns the public key of a private one."""
    return X25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def commitment(round_id: bytes, agent: str, own_seed: bytes) -> bytes:
    """Returns what binds a device to the seed of its own mask, and says nothing of it: the seed has 256 random bits."""
    return hashlib.sha256(_COMMITMENT_CONTEXT + _joined(round_id, agent.encode(), own_seed)).digest()


def own_mask_key(round_id: bytes, agent: str, own_seed: bytes) -> bytes:
    """Returns the key of a device's own mask."""
    return _derived(own_seed, round_id, _OWN_MASK, agent)


def pair_mask_key(seed: bytes, agent: str, other: Keys) -> bytes:
    """Returns the key of two devices' mask: the same from either side.

    Args:
        seed: the masking seed of one.
        agent: its name.
        other: the keys of the other.

    Raises:
        InvalidRequest: ROUND_KEY_INVALID.
    """
    first, second = sorted((agent, other.agent))
    return _derived(_agreed(seed, other.masking_key), other.round_id, _PAIR_MASK, first, second)


@dataclass(frozen=True, slots=True)
class Channel:
    """A device's sealed way to another, one message in each direction.

    Args:
        agent: this one.
        other: the other's keys.
        agreed: what both have come to by their encryption keys.
        key_list_digest: the keys that the message is about.
    """

    agent: str
    other: Keys
    agreed: bytes = field(repr=False)
    key_list_digest: bytes

    @classmethod
    def open(cls, secrets: Secrets, agent: str, other: Keys, key_list_digest: bytes) -> "Channel":
        """Agrees on a key.

        Raises:
            InvalidRequest: ROUND_KEY_INVALID.
        """
        return cls(agent, other, _agreed(secrets.encryption_seed, other.encryption_key), key_list_digest)

    def seal(self, own_share: bytes, masking_share: bytes) -> bytes:
        """Seals a share of each secret for the other."""
        cipher, associated = self._cipher(self.agent, self.other.agent)
        return cipher.encrypt(_NONCE, own_share + masking_share, associated)

    def unseal(self, sealed: bytes) -> tuple[bytes, bytes]:
        """Returns the other's shares for this device.

        Raises:
            InvalidRequest: ROUND_SHARE_INVALID: of another round, other keys, from or for somebody else, or changed.
        """
        cipher, associated = self._cipher(self.other.agent, self.agent)
        try:
            plain = cipher.decrypt(_NONCE, sealed, associated)
        except InvalidTag as error:
            raise InvalidRequest(
                Reason.ROUND_SHARE_INVALID,
                f"The shares from {self.other.agent} were not sealed for this device in this round: begin a new one.",
            ) from error
        return plain[:SHARE_BYTES], plain[SHARE_BYTES:]

    def _cipher(self, sender: str, recipient: str) -> tuple[AESGCM, bytes]:
        round_id = self.other.round_id
        associated = _joined(round_id, self.key_list_digest, sender.encode(), recipient.encode())
        return AESGCM(_derived(self.agreed, round_id, _SEALING, sender, recipient)), associated


def _agreed(seed: bytes, public_key: bytes) -> bytes:
    try:
        return X25519PrivateKey.from_private_bytes(seed).exchange(X25519PublicKey.from_public_bytes(public_key))
    except ValueError as error:  # a point of low order: the result would be known to everybody
        raise InvalidRequest(Reason.ROUND_KEY_INVALID, "A device's key agrees on nothing secret: leave it out.") from error


def _derived(secret: bytes, round_id: bytes, purpose: bytes, *agents: str) -> bytes:
    info = _joined(purpose, *(agent.encode() for agent in agents))
    return HKDF(SHA256(), SEED_BYTES, round_id, info).derive(secret)


def _survivors_bytes(survivors: Survivors, key_list_digest: bytes) -> bytes:
    return _SURVIVORS_CONTEXT + _joined(key_list_digest, survivors.to_bytes())


def _joined(*fields: bytes) -> bytes:
    """Joins fields so that no two lists of them are the same bytes."""
    return b"".join(len(item).to_bytes(4, "big") + item for item in fields)
