"""The certificate authority: what it signs, and what it refuses to."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import InvalidRequest, Reason
from contract.identity import SpiffeId, key_hash
from hub.fleet.certificates import (
    MAX_CSR_BYTES,
    CertificateAuthority,
    create_ca_certificate,
    public_key_der,
    read_certificate_request,
    spiffe_uris,
)
from tests.fakes.hub import certificate_request

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
CA_KEY = ec.generate_private_key(ec.SECP256R1())
AUTHORITY = CertificateAuthority(CA_KEY, create_ca_certificate(CA_KEY, "seawall.test", NOW), "seawall.test", lambda: NOW)
KEY = ec.generate_private_key(ec.SECP256R1())
AGENT = SpiffeId("seawall.test", "agent", "plant-7")
GOOD_REQUEST = certificate_request(KEY)


def test_an_agents_certificate_names_its_spiffe_id_and_nothing_else() -> None:
    certificate = AUTHORITY.issue_client(KEY.public_key(), AGENT, timedelta(days=30))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier("spiffe://seawall.test/agents/plant-7")]
    assert spiffe_uris(certificate) == [str(AGENT)]


def test_an_agents_certificate_lives_as_long_as_asked_and_began_before_now() -> None:
    certificate = AUTHORITY.issue_client(KEY.public_key(), AGENT, timedelta(days=30))
    assert certificate.not_valid_after_utc == NOW + timedelta(days=30)
    assert certificate.not_valid_before_utc < NOW


def test_an_agents_certificate_can_neither_sign_nor_serve() -> None:
    extensions = AUTHORITY.issue_client(KEY.public_key(), AGENT, timedelta(days=30)).extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign is False
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_verifier_accepts_the_servers_certificate_for_its_names_alone() -> None:
    certificate = AUTHORITY.issue_server(KEY.public_key(), ["hub.example", "127.0.0.1"])
    builder = PolicyBuilder().store(Store([AUTHORITY.certificate])).time(NOW)
    builder.build_server_verifier(x509.DNSName("hub.example")).verify(certificate, [])
    with pytest.raises(x509.verification.VerificationError):
        builder.build_server_verifier(x509.DNSName("other.example")).verify(certificate, [])


def test_a_fresh_server_certificate_has_the_same_key_and_names() -> None:
    old = AUTHORITY.issue_server(KEY.public_key(), ["hub.example", "::1"])
    new = AUTHORITY.reissue_server(old)
    assert new.public_key() == old.public_key()
    names = x509.SubjectAlternativeName
    assert new.extensions.get_extension_for_class(names) == old.extensions.get_extension_for_class(names)
    assert new.serial_number != old.serial_number


@pytest.mark.parametrize("host", ["", "a b", "hub_!.example", "http://hub", "ü.example", "x" * 64])
def test_what_is_no_host_name_is_refused(host: str) -> None:
    with pytest.raises(InvalidRequest, match="neither a DNS name nor an IP address"):
        AUTHORITY.issue_server(KEY.public_key(), [host])


def test_the_token_pins_the_cas_key() -> None:
    der = CA_KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert AUTHORITY.key_hash == key_hash(der) == key_hash(public_key_der(CA_KEY.public_key()))


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_a_request_gives_its_key(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    assert read_certificate_request(certificate_request(key)) == key.public_key()


def test_names_in_a_request_are_ignored() -> None:
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "admin")]))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://seawall.test/operators/admin")]), critical=True
        )
        .sign(KEY, hashes.SHA256())
    )
    key = read_certificate_request(request.public_bytes(serialization.Encoding.DER))
    assert spiffe_uris(AUTHORITY.issue_client(key, AGENT, timedelta(days=1))) == [str(AGENT)]


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP521R1()), ec.generate_private_key(ec.SECP256K1()), rsa.generate_private_key(65537, 2048)]
)
def test_a_request_with_another_kind_of_key_is_refused(key: object) -> None:
    with pytest.raises(InvalidRequest, match="P-256 or P-384"):
        read_certificate_request(certificate_request(key))


def test_a_request_with_an_ed25519_key_is_refused() -> None:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(ed25519.Ed25519PrivateKey.generate(), None)
    with pytest.raises(InvalidRequest, match="P-256 or P-384"):
        read_certificate_request(request.public_bytes(serialization.Encoding.DER))


def test_a_request_signed_by_another_key_is_refused() -> None:
    other = certificate_request(ec.generate_private_key(ec.SECP256R1()))
    point = public_key_der(KEY.public_key())
    foreign = x509.load_der_x509_csr(other)
    forged = other.replace(public_key_der(foreign.public_key()), point)
    assert forged != other
    with pytest.raises(InvalidRequest, match="signature"):
        read_certificate_request(forged)


def test_an_endless_request_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(InvalidRequest, match=str(MAX_CSR_BYTES)):
        read_certificate_request(bytes(MAX_CSR_BYTES + 1))


@settings(deadline=None)
@given(st.binary(max_size=500))
def test_garbage_is_refused_with_its_reason(garbage: bytes) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_certificate_request(garbage)
    assert raised.value.reason is Reason.CSR_INVALID


@settings(deadline=None)
@given(st.data())
def test_a_request_with_one_byte_changed_is_refused(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(GOOD_REQUEST) - 1))
    change = data.draw(st.integers(1, 255))
    broken = bytearray(GOOD_REQUEST)
    broken[place] ^= change
    with pytest.raises(InvalidRequest) as raised:
        read_certificate_request(bytes(broken))
    assert raised.value.reason is Reason.CSR_INVALID
