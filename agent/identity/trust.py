"""First contact: the hub's CA certificate, taken from its TLS handshake and believed only if the join token was made for its key."""

import socket
import ssl
from typing import Any, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.identity.authorities import issued
from contract.errors import NotAuthenticated, Reason, Unavailable
from contract.identity import JoinToken

_DER = 2
"""`ssl.ENCODING_DER` of Python's C module: certificates as bytes."""


def fetch_ca(host: str, port: int, token: JoinToken, timeout_seconds: float = 10.0) -> bytes:
    """Returns the hub's CA certificate in PEM.

    Nothing is sent before this has returned; the handshake that carries the token checks the hub against this certificate.

    Args:
        host: of the enrolment listener.
        port: of the enrolment listener.
        token: names the key that the CA must have.
        timeout_seconds: for connecting and the handshake.

    Raises:
        Unavailable: HUB_UNAVAILABLE, nobody answers there, or without TLS.
        NotAuthenticated: CERTIFICATE_INVALID, the hub is not the one that made the token.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the chain is checked below, by the hash in the token
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((host, port), timeout=timeout_seconds) as connection,
            context.wrap_socket(connection, server_hostname=host) as tls,
        ):
            chain = _presented_chain(tls)
    except (OSError, ValueError) as error:  # a host name that cannot be one is a ValueError
        raise Unavailable(
            Reason.HUB_UNAVAILABLE, f"No hub answers at {host}:{port} ({error}): check the address, and that seawall-hub serve runs there."
        ) from error
    for der in chain:
        if token.trusts(_public_key(der)) and _is_its_own(certificate := x509.load_der_x509_certificate(der)):
            return certificate.public_bytes(Encoding.PEM)
    raise NotAuthenticated(
        Reason.CERTIFICATE_INVALID,
        f"The hub at {host}:{port} is not the one that made this join token: check the address, or ask its operator for a new token.",
    )


def _public_key(certificate_der: bytes) -> bytes:
    """Returns the SubjectPublicKeyInfo of a certificate, DER; empty for one that cannot be read, and so is none of ours."""
    try:
        key = x509.load_der_x509_certificate(certificate_der).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return b""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _is_its_own(authority: x509.Certificate) -> bool:
    """Says whether a CA signed its own certificate: one that another CA signed is a bridge, and may be shown of a CA of the past."""
    return issued(authority, authority)


def _presented_chain(tls: ssl.SSLSocket) -> list[bytes]:
    """The certificates that the server sent, DER. Public from Python 3.13 on; before, the same call one level down."""
    if hasattr(tls, "get_unverified_chain"):
        return list(cast(Any, tls).get_unverified_chain())
    chain = cast(Any, tls)._sslobj.get_unverified_chain()
    return [certificate.public_bytes(_DER) for certificate in chain]
