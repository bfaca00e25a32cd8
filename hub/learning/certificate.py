"""The certificate of the Fleet API of a child, for all that it carries: of a key of its own, named by the hub in each agent's session."""

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BEFORE = timedelta(days=2)
"""Devices' clocks differ."""

LIFE = timedelta(days=365)
"""Longer than any child has cohorts: those of a large fleet take days, one after the other. The key is in the child's memory alone, and no
device trusts the certificate once its round is over."""


def round_certificate(names: x509.SubjectAlternativeName, now: datetime) -> tuple[bytes, bytes]:
    """Returns a new key and its certificate, PEM.

    Args:
        names: that agents reach the hub by.
        now: the time, in UTC.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "seawall learning")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + LIFE)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, certificate.public_bytes(encoding)
