"""Which certificate authorities the hub trusts: one that issues, and, while it is being replaced, the one before it."""

from dataclasses import dataclass
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from contract.errors import NotAuthenticated, Reason
from contract.identity import key_hash
from hub.clock import Clock
from hub.fleet.certificates import CertificateAuthority, certificate_der, key_id, public_key_der


@dataclass(frozen=True)
class Trust:
    """What is trusted at one moment.

    Args:
        issuer: signs every new certificate.
        outgoing: trusted as well, until the rotation is finished.
        former: trusted no more; who proves to hold the key of one of their certificates may still recover it.
        bridges: the key of a newer CA signed by the one before it, the newest first, for those who know the older one alone.
    """

    issuer: CertificateAuthority
    outgoing: tuple[x509.Certificate, ...] = ()
    former: tuple[x509.Certificate, ...] = ()
    bridges: tuple[x509.Certificate, ...] = ()

    @property
    def trusted(self) -> tuple[x509.Certificate, ...]:
        """The CA certificates, the one that issues first."""
        return (self.issuer.certificate, *self.outgoing)

    @cached_property
    def trusted_pem(self) -> bytes:
        """The same, in PEM."""
        return to_pem(self.trusted)

    @cached_property
    def trusted_der(self) -> tuple[bytes, ...]:
        """The same, in DER."""
        return tuple(certificate_der(certificate) for certificate in self.trusted)

    @cached_property
    def key_hashes(self) -> tuple[str, ...]:
        """The hashes of their keys, as join tokens hold them."""
        return tuple(key_hash(public_key_der(certificate.public_key())) for certificate in self.trusted)

    @cached_property
    def key_ids(self) -> frozenset[bytes]:
        """By which certificates name the key that signed them."""
        return frozenset(key_id(certificate.public_key()) for certificate in self.trusted)

    @cached_property
    def chain_pem(self) -> bytes:
        """What is shown behind the server's certificate, so that it can be verified from every CA that a client may know."""
        return to_pem((*self.bridges, *self.trusted))


class Authorities:
    """The present trust; what holds on to it sees it change.

    Args:
        trust: at the start.
    """

    def __init__(self, trust: Trust) -> None:
        self.trust = trust

    @property
    def issuer(self) -> CertificateAuthority:
        """Signs every new certificate."""
        return self.trust.issuer

    @property
    def clock(self) -> Clock:
        """The time, in UTC."""
        return self.trust.issuer.clock

    @property
    def trust_domain(self) -> str:
        """Of every SPIFFE id. No rotation changes it."""
        return self.trust.issuer.trust_domain

    def check(self, issuer_key_id: bytes) -> None:
        """Checks that a certificate's issuer is still trusted: a connection may outlive it.

        Args:
            issuer_key_id: of the key that signed the certificate.

        Raises:
            NotAuthenticated: CERTIFICATE_INVALID.
        """
        if issuer_key_id not in self.trust.key_ids:
            raise NotAuthenticated(
                Reason.CERTIFICATE_INVALID,
                "The certificate is of a CA that is trusted no more. Recover it, or enrol again with a join token.",
            )

    def knows(self, certificate: x509.Certificate) -> bool:
        """Says whether a CA of this hub, present or former, signed a certificate."""
        return any(_signed(authority, certificate) for authority in (*self.trust.trusted, *self.trust.former))


def to_pem(certificates: tuple[x509.Certificate, ...]) -> bytes:
    """Returns certificates in PEM, one behind the other."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def _signed(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
