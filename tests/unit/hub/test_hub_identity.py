"""Who a verified certificate speaks for."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from contract.errors import NotAuthenticated, Reason
from contract.identity import key_hash
from hub.api.identity import identify
from hub.fleet.certificates import public_key_der

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(*uris: str, begins: datetime = NOW - timedelta(days=1), ends: datetime = NOW + timedelta(days=1)) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(begins).not_valid_after(ends)
    if uris:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris]), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("role", ["agent", "operator", "auditor", "publisher"])
def test_role_name_and_key_come_from_the_certificate(role: str) -> None:
    caller = identify(certificate(f"spiffe://seawall.test/{role}s/plant-7"), "seawall.test", NOW)
    assert (caller.role, caller.name) == (role, "plant-7")
    assert caller.key_hash == key_hash(public_key_der(KEY.public_key()))


@pytest.mark.parametrize(
    "uris",
    [
        (),
        ("spiffe://seawall.test/agents/a", "spiffe://seawall.test/operators/a"),
        ("spiffe://other.test/operators/admin",),
        ("spiffe://seawall.test/emperors/admin",),
        ("spiffe://seawall.test/agents/UPPER",),
        ("spiffe://seawall.test/agents/a/b",),
        ("spiffe://seawall.test",),
        ("https://seawall.test/agents/a",),
    ],
)
def test_any_other_name_is_refused(uris: tuple[str, ...]) -> None:
    with pytest.raises(NotAuthenticated) as raised:
        identify(certificate(*uris), "seawall.test", NOW)
    assert raised.value.reason is Reason.CERTIFICATE_INVALID


@pytest.mark.parametrize("now", [NOW + timedelta(days=1, seconds=1), NOW - timedelta(days=1, seconds=1)])
def test_a_connection_that_outlives_its_certificate_is_refused(now: datetime) -> None:
    pem = certificate("spiffe://seawall.test/agents/a")
    identify(pem, "seawall.test", NOW)
    with pytest.raises(NotAuthenticated, match="expired"):
        identify(pem, "seawall.test", now)
