"""New certificates for agents that are known: before the old one expires, and, within a grace time, after.

The message that is signed for a recovery holds the nonce, so that it is good once, and the hash of the request, so that nobody in between
can put another key in.
"""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from contract.errors import NotAuthenticated, NotPermitted, NotPossibleNow, Reason, SeawallError
from contract.identity import SpiffeId, agent_name, key_hash
from hub.fleet.authorities import Authorities
from hub.fleet.certificates import certificate_der, public_key_der, read_certificate_request, spiffe_uris
from hub.fleet.directory import check_admitted
from hub.fleet.events import Journal
from hub.fleet.nonces import Nonces
from hub.store import agents
from hub.store.events import NewEvent

RECOVERY_CONTEXT = b"seawall-recovery-v1\0"
"""Before what is signed, so that the signature means nothing elsewhere."""

NONCE_FAULT = "the nonce is spent, or too old"
MAX_CERTIFICATE_BYTES = 8192


class Renewal:
    """Issues certificates to agents that have had one.

    Args:
        journal: keeps them.
        authorities: the one that issues signs.
        agent_life: of a certificate.
    """

    def __init__(self, journal: Journal, authorities: Authorities, agent_life: timedelta) -> None:
        self._journal = journal
        self._authorities = authorities
        self._agent_life = agent_life

    async def renew(
        self, agent_id: str, old_key_hash: str, certificate_request: bytes, first: Callable[[Connection], None] = lambda _: None
    ) -> bytes:
        """Issues a certificate for the key of a request. The old key stays good until the new one is first used.

        Args:
            agent_id: whose.
            old_key_hash: of the key that it proved to hold.
            certificate_request: PKCS#10, DER.
            first: done in the same transaction; if it raises, nothing is issued.

        Returns:
            the certificate, DER.

        Raises:
            InvalidRequest: CSR_INVALID.
            NotPermitted: AGENT_NOT_FOUND, AGENT_SUSPENDED, AGENT_RETIRED.
        """
        key = read_certificate_request(certificate_request)
        authority = self._authorities.issuer
        certificate = authority.issue_client(key, SpiffeId(authority.trust_domain, "agent", agent_id), self._agent_life)
        return await self._journal.write(partial(self._keep, agent_id, old_key_hash, certificate, authority.key_hash, first))

    def _keep(
        self,
        agent_id: str,
        old_key_hash: str,
        certificate: x509.Certificate,
        issuer: str,
        first: Callable[[Connection], None],
        connection: Connection,
    ) -> tuple[bytes, list[NewEvent]]:
        first(connection)
        check_admitted(agents.get(connection, agent_id), old_key_hash)
        new_key_hash = key_hash(public_key_der(certificate.public_key()))
        der = certificate_der(certificate)
        agents.change(
            connection,
            agent_id,
            key_hash=new_key_hash,
            previous_key_hash="" if new_key_hash == old_key_hash else old_key_hash,
            certificate=der,
            certificate_issuer=issuer,
            certificate_expire_time=certificate.not_valid_after_utc,
        )
        return der, [NewEvent(self._authorities.clock(), "CERTIFICATE_RENEWED", agent_name(agent_id))]


class Recovery:
    """Lets agents in again whose certificate has expired.

    Args:
        renewal: issues the new one.
        nonces: that were given out.
        authorities: one of them, or one before them, signed the old one.
        grace: after the old one's end.
    """

    def __init__(self, renewal: Renewal, nonces: Nonces, authorities: Authorities, grace: timedelta) -> None:
        self._renewal = renewal
        self._nonces = nonces
        self._authorities = authorities
        self._grace = grace

    async def recover(self, certificate_der: bytes, nonce: bytes, signature: bytes, certificate_request: bytes) -> bytes:
        """Issues a certificate to the holder of an old one's key.

        Args:
            certificate_der: the old certificate.
            nonce: from `Nonces.create`.
            signature: by the old key.
            certificate_request: PKCS#10, DER.

        Returns:
            the new certificate, DER.

        Raises:
            NotAuthenticated: RECOVERY_REFUSED.
            NotPossibleNow: RECOVERY_TOO_LATE.
            NotPermitted: AGENT_SUSPENDED, AGENT_RETIRED.
            InvalidRequest: CSR_INVALID.
        """
        if not self._nonces.is_good(nonce):
            raise refused(NONCE_FAULT)
        certificate = self._read(certificate_der)
        _verify(certificate, signature, RECOVERY_CONTEXT + nonce + hashlib.sha256(certificate_request).digest())
        if certificate.not_valid_after_utc + self._grace < self._authorities.clock():
            raise NotPossibleNow(Reason.RECOVERY_TOO_LATE, "The certificate expired too long ago. Enrol again with a join token.")
        agent_id = self._agent_id(certificate)
        try:
            old_key_hash = key_hash(public_key_der(certificate.public_key()))
            return await self._renewal.renew(agent_id, old_key_hash, certificate_request, partial(self._spend, nonce))
        except NotPermitted as error:
            raise _as_recovery(error) from error

    def _spend(self, nonce: bytes, connection: Connection) -> None:
        if not self._nonces.spend(nonce, connection):
            raise refused(NONCE_FAULT)

    def _read(self, der: bytes) -> x509.Certificate:
        """Returns a certificate that a CA of ours has signed. A former CA will do: the key must be the one on record."""
        if len(der) > MAX_CERTIFICATE_BYTES:
            raise refused("the certificate is too large")
        try:
            certificate = x509.load_der_x509_certificate(der)
        except ValueError as error:
            raise refused("the certificate is none of this hub") from error
        if not self._authorities.knows(certificate):
            raise refused("the certificate is none of this hub")
        return certificate

    def _agent_id(self, certificate: x509.Certificate) -> str:
        uris = spiffe_uris(certificate)
        try:
            spiffe_id = SpiffeId.parse(uris[0]) if len(uris) == 1 else None
        except NotAuthenticated as error:
            raise refused("the certificate is no agent's") from error
        if spiffe_id is None or (spiffe_id.trust_domain, spiffe_id.role) != (self._authorities.trust_domain, "agent"):
            raise refused("the certificate is no agent's")
        return spiffe_id.name


def _verify(certificate: x509.Certificate, signature: bytes, message: bytes) -> None:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise refused("the certificate is none of this hub")
    try:
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise refused("the signature is not of the certificate's key") from error


def _as_recovery(error: NotPermitted) -> SeawallError:
    """To those who have no good certificate, an unknown agent is one that cannot be recovered."""
    if error.reason is Reason.AGENT_NOT_FOUND:
        return refused("the agent has another key now, or is enrolled no more")
    return error


def refused(why: str) -> NotAuthenticated:
    """Returns the error for a recovery that cannot be."""
    return NotAuthenticated(Reason.RECOVERY_REFUSED, f"The certificate cannot be recovered: {why}. Enrol again with a join token.")
