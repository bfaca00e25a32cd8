"""A member key is shown by who holds it, in his own name alone."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from contract.secagg.possession import is_proven, prove
from contract.tree_heads import public_der

KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
CERTIFICATE = "a" * 64
PROOF = prove(KEY, "till-1", CERTIFICATE)


def test_who_holds_a_key_can_show_it() -> None:
    assert is_proven(public_der(KEY), PROOF, "till-1", CERTIFICATE)


@pytest.mark.parametrize(
    ("key", "proof", "agent", "certificate"),
    [
        (OTHER, PROOF, "till-1", CERTIFICATE),
        (KEY, PROOF, "till-2", CERTIFICATE),
        (KEY, PROOF, "till-1", "b" * 64),
        (KEY, PROOF[:-1] + bytes([PROOF[-1] ^ 1]), "till-1", CERTIFICATE),
        (KEY, b"", "till-1", CERTIFICATE),
    ],
    ids=["another key", "another device", "another certificate", "changed", "nothing"],
)
def test_what_one_device_has_signed_shows_nothing_of_anything_else(
    key: ec.EllipticCurvePrivateKey, proof: bytes, agent: str, certificate: str
) -> None:
    assert not is_proven(public_der(key), proof, agent, certificate)


def test_a_key_has_one_form_and_is_on_p256() -> None:
    point = KEY.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    header = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    assert not is_proven(header + point, PROOF, "till-1", CERTIFICATE)
    larger = ec.generate_private_key(ec.SECP384R1())
    assert not is_proven(public_der(larger), prove(larger, "till-1", CERTIFICATE), "till-1", CERTIFICATE)


@pytest.mark.parametrize(
    "key",
    [b"", b"x", Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)],
    ids=["nothing", "a letter", "a key of another kind"],
)
def test_what_is_no_such_key_shows_nothing(key: bytes) -> None:
    assert not is_proven(key, PROOF, "till-1", CERTIFICATE)
