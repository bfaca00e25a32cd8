"""The hub's certificate authority.

Sources: RFC 5280 for the extensions; the X.509-SVID specification of SPIFFE (sections 2 to 4): one URI name, a leaf signs nothing.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from contract.errors import InvalidRequest, Reason
from contract.identity import SpiffeId, key_hash
from hub.clock import Clock

CA_LIFE = timedelta(days=20 * 365)
SERVER_LIFE = timedelta(days=2 * 365)
OPERATOR_LIFE = timedelta(days=365)
CLOCK_SKEW = timedelta(hours=1)
"""Certificates are valid from so long ago: small devices boot with a clock that is behind."""

MAX_CSR_BYTES = 8192
"""A request with an EC key takes about 300 bytes."""

_DNS_NAME = re.compile(r"(?=.{1,253}$)(\*\.)?[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """The key that every certificate of the fleet hangs on.

    Args:
        key: its private key.
        certificate: its own certificate.
        trust_domain: goes into every SPIFFE id.
        clock: the time, in UTC.
    """

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    trust_domain: str
    clock: Clock

    @property
    def key_hash(self) -> str:
        """What join tokens pin: the SHA-256 of the CA's public key."""
        return key_hash(public_key_der(self.certificate.public_key()))

    def issue_client(self, public_key: ec.EllipticCurvePublicKey, spiffe_id: SpiffeId, life: timedelta) -> x509.Certificate:
        """Issues a certificate that speaks for a SPIFFE id and for nothing else."""
        name = x509.UniformResourceIdentifier(str(spiffe_id))
        return self._issue_leaf(public_key, spiffe_id.name, [name], ExtendedKeyUsageOID.CLIENT_AUTH, life)

    def issue_server(self, public_key: ec.EllipticCurvePublicKey, hosts: Sequence[str]) -> x509.Certificate:
        """Issues the listeners' certificate.

        Args:
            public_key: the listeners'.
            hosts: DNS names and IP addresses that clients reach the hub by.

        Raises:
            InvalidRequest: CONFIG_INVALID, one is neither.
        """
        names = [_host_name(host) for host in hosts]
        return self._issue_leaf(public_key, "seawall-hub", names, ExtendedKeyUsageOID.SERVER_AUTH, SERVER_LIFE)

    def cross_sign(self, other: x509.Certificate, life: timedelta) -> x509.Certificate:
        """Signs another CA's key under its own name, so that who trusts this CA alone can verify what the other one issues.

        Both have the same name (RFC 5280, section 6.1: such a certificate does not count against this CA's path length).
        """
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(_ec_key(self.certificate.public_key()))
        end = min(self.clock() + life, self.certificate.not_valid_after_utc)
        return (
            _builder(_common_name(other), self.certificate.subject, _ec_key(other.public_key()), self.clock(), end - self.clock())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(issuer, critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def reissue_client(self, old: x509.Certificate, life: timedelta) -> x509.Certificate:
        """Issues a fresh certificate for the same key and SPIFFE id."""
        return self.issue_client(_ec_key(old.public_key()), SpiffeId.parse(spiffe_uris(old)[0]), life)

    def reissue_server(self, old: x509.Certificate) -> x509.Certificate:
        """Issues a fresh certificate for the same key and names."""
        names = list(old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        return self._issue_leaf(_ec_key(old.public_key()), "seawall-hub", names, ExtendedKeyUsageOID.SERVER_AUTH, SERVER_LIFE)

    def _issue_leaf(
        self,
        public_key: ec.EllipticCurvePublicKey,
        common_name: str,
        names: Sequence[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        life: timedelta,
    ) -> x509.Certificate:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(_ec_key(self.certificate.public_key()))
        return (
            _builder(common_name, self.certificate.subject, public_key, self.clock(), life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self.key, hashes.SHA256())
        )


def create_ca_certificate(key: ec.EllipticCurvePrivateKey, trust_domain: str, now: datetime) -> x509.Certificate:
    """Signs the CA's own certificate."""
    subject = f"Seawall CA {trust_domain}"[:64]
    return (
        _builder(subject, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]), key.public_key(), now, CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")]), critical=False)
        .sign(key, hashes.SHA256())
    )


def read_certificate_request(der: bytes) -> ec.EllipticCurvePublicKey:
    """Returns the key of a PKCS#10 request, having proven that its sender holds the private half. All else in it is ignored.

    Raises:
        InvalidRequest: CSR_INVALID.
    """
    if len(der) > MAX_CSR_BYTES:
        raise _csr_invalid(f"it has {len(der)} bytes, at most {MAX_CSR_BYTES} are read")
    try:
        request = x509.load_der_x509_csr(der)
        key = request.public_key()
        if not request.is_signature_valid:
            raise _csr_invalid("its signature does not fit its key")
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise _csr_invalid("it is no PKCS#10 request in DER") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        raise _csr_invalid("its key is not of the curve P-256 or P-384")
    return key


def spiffe_uris(certificate: x509.Certificate) -> list[str]:
    """Returns the URI names of a certificate."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def public_key_der(key: object) -> bytes:
    """Returns the SubjectPublicKeyInfo of an EC key."""
    return _ec_key(key).public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id(key: object) -> bytes:
    """Returns what names a key in the certificates that it has signed (RFC 5280, section 4.2.1.2)."""
    return x509.SubjectKeyIdentifier.from_public_key(_ec_key(key)).digest


def issuer_key_id(certificate: x509.Certificate) -> bytes:
    """Returns the key_id of the CA that signed a certificate; empty: it does not say."""
    try:
        issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return b""
    return issuer.key_identifier or b""


def certificate_der(certificate: x509.Certificate) -> bytes:
    """Returns the certificate's bytes."""
    return certificate.public_bytes(serialization.Encoding.DER)


def _builder(
    common_name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not _DNS_NAME.fullmatch(host):
            raise InvalidRequest(Reason.CONFIG_INVALID, f"'{host[:80]}' is neither a DNS name nor an IP address.") from None
        return x509.DNSName(host)


def _common_name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _ec_key(key: object) -> ec.EllipticCurvePublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("only EC keys are issued here")
    return key


def _csr_invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.CSR_INVALID, f"The certificate request cannot be used: {why}. Make one with an EC P-256 key.")
