"""How a device shows that a member key is its own: it signs with it who it is, and by which certificate it is known now.

So that nobody passes off another's key as his own: what one device has signed says nothing of a second, nor of the same name enrolled
anew. It is for an honest hub, which proposes rosters; a hub that lies is held off by who signs them.
"""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from contract.leaves import canonical
from contract.tree_heads import verify

_CONTEXT = b"seawall-member-key-v1\0"


def prove(member_key: ec.EllipticCurvePrivateKey, agent: str, certificate_key_hash: str) -> bytes:
    """Returns the proof: ECDSA, DER.

    Args:
        member_key: the private one.
        agent: the device's id.
        certificate_key_hash: of the public key of its certificate, see `contract.identity.key_hash`.
    """
    return member_key.sign(_signed(agent, certificate_key_hash), ec.ECDSA(SHA256()))


def is_proven(member_key: bytes, proof: bytes, agent: str, certificate_key_hash: str) -> bool:
    """Says whether a proof is of that key, by that device, under that certificate.

    Args:
        member_key: the public one, SubjectPublicKeyInfo in DER.
        proof: what `prove` has returned.
        agent: the device's id.
        certificate_key_hash: of its certificate's public key.
    """
    return _is_on_p256(member_key) and verify(member_key, proof, _signed(agent, certificate_key_hash))


def _is_on_p256(member_key: bytes) -> bool:
    """Says whether this is a key on P-256 in its usual form: one key in two forms would have two hashes, and pass for two devices'."""
    try:
        key = load_der_public_key(member_key)
    except (ValueError, UnsupportedAlgorithm):
        return False
    is_right = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    return is_right and key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == member_key


def _signed(agent: str, certificate_key_hash: str) -> bytes:
    return _CONTEXT + canonical({"agent": agent, "certificate_key_hash": certificate_key_hash}).encode()
