"""What this agent learns in its sessions of the hub's certificate authorities, and whether its identity goes with them."""

import asyncio

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.identity.files import Identity
from contract.identity import key_hash


class ToldAuthorities:
    """What the hub has said last in a session, and whether a session was refused since the last look."""

    def __init__(self) -> None:
        self.key_hashes: tuple[str, ...] = ()
        self._is_doubted = False
        self._changed = asyncio.Event()

    @property
    def changed(self) -> asyncio.Event:
        """Set when there is something to look at."""
        return self._changed

    def tell(self, key_hashes: tuple[str, ...]) -> None:
        """Notes what the hub says; nothing: it is of an earlier version and does not say."""
        if key_hashes and key_hashes != self.key_hashes:
            self.key_hashes = key_hashes
            self._wake()

    def doubt(self) -> None:
        """Notes that there was no session: the hub may be away, or may not take this agent's certificate."""
        self._is_doubted = True
        self._wake()

    def take_doubt(self) -> bool:
        """Says whether there was no session since this was asked last."""
        doubted, self._is_doubted = self._is_doubted, False
        return doubted

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def goes_with(identity: Identity, key_hashes: tuple[str, ...]) -> bool:
    """Says whether an identity trusts these CAs and no others, and whether the first of them issued its certificate.

    Args:
        identity: of this agent.
        key_hashes: of the CAs' keys; none: nothing is known, and everything goes with that.
    """
    if not key_hashes:
        return True
    authorities = x509.load_pem_x509_certificates(identity.ca_pem)
    issuers = [authority_hash(authority) for authority in authorities if issued(identity.certificate, authority)]
    return key_hashes[0] in issuers and {authority_hash(authority) for authority in authorities} == set(key_hashes)


def issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Says whether a CA issued a certificate."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def authority_hash(authority: x509.Certificate) -> str:
    """Returns the hash of a CA's key, as in join tokens."""
    return key_hash(authority.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
