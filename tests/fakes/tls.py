"""A certificate authority, and a TLS server that shows what it is told to show and says what the other side made of it."""

import ipaddress
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import SystemRandom
from tempfile import TemporaryDirectory
from threading import Thread

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""An empty HTTP/2 SETTINGS frame, with which a server greets."""

YEAR = timedelta(days=365)

_CHANCE = SystemRandom()
_PORTS = range(20_000, 32_000)
"""/proc/sys/net/ipv4/ip_local_port_range begins at 32768."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM."""

    key_pem: bytes
    certificate_pem: bytes


class Authority:
    """Issues certificates. Its own is good for a year."""

    def __init__(self, name: str = "authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        builder = _builder(self._name, self._name, self._key.public_key(), -YEAR, YEAR)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        self._certificate = builder.sign(self._key, SHA256())

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return self._certificate.public_bytes(Encoding.PEM)

    @property
    def public_key_der(self) -> bytes:
        """Its SubjectPublicKeyInfo."""
        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def issue(self, address: str = "127.0.0.1", since: timedelta = -YEAR, until: timedelta = YEAR) -> Pair:
        """Issues a certificate for an address, good between two times, seen from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = _builder(_name(address), self._name, key.public_key(), since, until).add_extension(alternative, critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = builder.add_extension(identifier, critical=False).sign(self._key, SHA256())
        return Pair(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), certificate.public_bytes(Encoding.PEM))


@contextmanager
def tls_server(pair: Pair, chain_pem: bytes = b"", clients_of: bytes | None = None, protocol: str = "h2") -> Iterator[int]:
    """Listens on loopback, and yields the port.

    Args:
        pair: what it shows.
        chain_pem: shown behind it.
        clients_of: the CA whose clients it takes, and no others; None: it asks for no certificate.
        protocol: that it agrees to speak.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols([protocol])
    with TemporaryDirectory() as folder:
        file = Path(folder) / "pair.pem"
        file.write_bytes(pair.key_pem + pair.certificate_pem + chain_pem)
        context.load_cert_chain(file)
    if clients_of is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients_of.decode())
    with listener(context) as port:
        yield port


@contextmanager
def listener(context: ssl.SSLContext | None) -> Iterator[int]:
    """Listens on loopback, and yields the port. Without a context it speaks plain text."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=_serve, args=(server, context))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def free_port() -> int:
    """Returns a port at which nothing listens: below those that the system gives out, so that it stays free until it is used."""
    while True:
        port = _CHANCE.choice(_PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _serve(server: socket.socket, context: ssl.SSLContext | None) -> None:
    with suppress(OSError):  # the listening socket was shut down
        while True:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(5)
                with suppress(OSError):  # the other side's words on it are what a test looks at
                    _greet(connection, context)


def _greet(connection: socket.socket, context: ssl.SSLContext | None) -> None:
    if context is None:
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        return
    try:
        with context.wrap_socket(connection.dup(), server_side=True) as tls:
            tls.sendall(SETTINGS)
            tls.recv(1)
    except ssl.SSLError:
        # Closing with unread bytes would send a reset, which may overtake the alert that says why.
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
        raise


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, since: timedelta, until: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now + since).not_valid_after(now + until)
