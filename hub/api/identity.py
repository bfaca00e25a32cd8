"""Who calls, from the certificate that TLS has verified."""

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509

from contract.errors import NotAuthenticated, Reason
from contract.identity import SpiffeId, key_hash
from hub.fleet.certificates import issuer_key_id, public_key_der, spiffe_uris
from hub.fleet.sessions import expired


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose call it is.

    Args:
        role: `agent`, `operator`, `auditor`, `publisher`, or `anyone` on the enrolment listener.
        name: the id within the role.
        key_hash: of the certificate's key.
        valid_until: of the certificate; None: there is none. A stream may outlive it.
        issuer_key_id: of the CA key that signed the certificate.
    """

    role: str
    name: str = ""
    key_hash: str = ""
    valid_until: datetime | None = None
    issuer_key_id: bytes = b""

    def check_validity(self, now: datetime) -> None:
        """Checks that the certificate has not expired meanwhile.

        Raises:
            NotAuthenticated: CERTIFICATE_INVALID.
        """
        if self.valid_until is not None and now > self.valid_until:
            raise expired()


CALLER: ContextVar[Caller] = ContextVar("CALLER")
"""Set before a servicer's method runs."""


def actor(trust_domain: str) -> str:
    """Returns the SPIFFE id of who calls."""
    caller = CALLER.get()
    return str(SpiffeId(trust_domain, caller.role, caller.name))


@dataclass(frozen=True, slots=True)
class _Certificate:
    uris: tuple[str, ...]
    key_hash: str
    valid_from: datetime
    valid_until: datetime
    issuer_key_id: bytes


def identify(certificate_pem: bytes, trust_domain: str, now: datetime) -> Caller:
    """Reads a verified certificate.

    Args:
        certificate_pem: the peer's.
        trust_domain: ours.
        now: the time, in UTC; a connection may outlive its certificate.

    Raises:
        NotAuthenticated: CERTIFICATE_INVALID.
    """
    certificate = _read(certificate_pem)
    if not certificate.valid_from <= now <= certificate.valid_until:
        raise expired()
    if len(certificate.uris) != 1:
        raise NotAuthenticated(Reason.CERTIFICATE_INVALID, "The certificate must have one SPIFFE id as its only URI name.")
    spiffe_id = SpiffeId.parse(certificate.uris[0])
    if spiffe_id.trust_domain != trust_domain:
        raise NotAuthenticated(Reason.CERTIFICATE_INVALID, "The certificate is of another trust domain.")
    return Caller(spiffe_id.role, spiffe_id.name, certificate.key_hash, certificate.valid_until, certificate.issuer_key_id)


@lru_cache(maxsize=4096)
def _read(certificate_pem: bytes) -> _Certificate:
    """Parsed once a certificate, not once a call."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    return _Certificate(
        uris=tuple(spiffe_uris(certificate)),
        key_hash=key_hash(public_key_der(certificate.public_key())),
        valid_from=certificate.not_valid_before_utc,
        valid_until=certificate.not_valid_after_utc,
        issuer_key_id=issuer_key_id(certificate),
    )
