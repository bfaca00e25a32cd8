"""Shakes hands with the hub as gRPC would, and listens to what it makes of this agent's certificate."""

import socket
import ssl
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.identity.enrollment import split_address
from agent.identity.files import Identity

TIMEOUT_SECONDS = 5

_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""RFC 9113, section 3.4, with an empty SETTINGS frame: enough for a server to answer, or to refuse our certificate."""


def shake_hands(identity: Identity) -> tuple[str | None, bytes]:
    """Returns the protocol that the other side speaks, and the first byte of its answer; none: it hung up without a word.

    TLS 1.3 gives the verdict on our certificate after the handshake, so that an answer is waited for.

    Raises:
        ssl.SSLCertVerificationError: it is not our hub.
        ssl.SSLError: it speaks no TLS, or refuses with a word.
        OSError: nobody answers.
    """
    host, port = split_address(identity.hub_address)
    with (
        socket.create_connection((host, port), timeout=TIMEOUT_SECONDS) as connection,
        _tls_context(identity).wrap_socket(connection, server_hostname=host) as tls,
    ):
        protocol = tls.selected_alpn_protocol()
        if protocol != "h2":
            return protocol, b""
        tls.sendall(_HTTP2_PREFACE)
        return protocol, tls.recv(1)


def is_hung_up_on(identity: Identity) -> bool:
    """Says whether our hub is there and does not take this agent's certificate, though it may take it back by recovery."""
    try:
        protocol, answer = shake_hands(identity)
    except ssl.SSLCertVerificationError:
        return False
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except (OSError, ValueError):  # a host name that cannot be one is a ValueError
        return False
    return protocol == "h2" and not answer


def _tls_context(identity: Identity) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=identity.ca_pem.decode())
    context.set_alpn_protocols(["h2"])
    with TemporaryDirectory() as folder:  # ssl reads keys from files only
        pair = Path(folder) / "pair.pem"
        pair.touch(mode=0o600)
        pair.write_bytes(identity.key_pem + identity.certificate_pem)
        context.load_cert_chain(pair)
    return context
