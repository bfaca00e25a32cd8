"""The data folder: keys, certificates, settings and the database. `create` makes what is missing and touches nothing else."""

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import URL

from contract.errors import InvalidRequest, NotPossibleNow, Reason
from contract.identity import TRUST_DOMAIN, SpiffeId
from hub.clock import Clock
from hub.config import load
from hub.fleet.authorities import Trust, to_pem
from hub.fleet.certificates import OPERATOR_LIFE, SERVER_LIFE, CertificateAuthority, create_ca_certificate, spiffe_uris
from hub.template import HUB_TOML

_log = structlog.get_logger(__name__)

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
"""Always in the server's certificate: the operator's commands run beside the hub."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key and its certificate, both PEM, in NAME.key and NAME.crt."""

    key_path: Path
    certificate_path: Path

    def write(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> list[Path]:
        """Writes the key, then the certificate. Returns their paths."""
        write_file(self.key_path, private_key_pem(key))
        write_file(self.certificate_path, certificate.public_bytes(serialization.Encoding.PEM))
        return [self.key_path, self.certificate_path]

    def read(self) -> tuple[bytes, bytes]:
        """Returns key and certificate, PEM.

        Raises:
            NotPossibleNow: CONFIG_INVALID, a file is missing, may not be read, or is damaged.
        """
        self.load()
        return self.key_path.read_bytes(), self.certificate_path.read_bytes()

    def load(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        """Returns key and certificate.

        Raises:
            NotPossibleNow: CONFIG_INVALID, a file is missing, may not be read, or is damaged.
        """
        try:
            _make_private(self.key_path)
            key = serialization.load_pem_private_key(self.key_path.read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())
        except ValueError as error:
            raise self.damaged("they cannot be read") from error
        except OSError as error:
            raise NotPossibleNow(
                Reason.CONFIG_INVALID,
                f"{error.filename} cannot be read: {error.strerror}. Run: seawall-hub init --data {self.key_path.parent}",
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise self.damaged("they do not belong together")
        return key, certificate

    def damaged(self, why: str) -> NotPossibleNow:
        """Returns the error for files that are not as they were."""
        return NotPossibleNow(
            Reason.CONFIG_INVALID,
            f"{self.key_path} and {self.certificate_path.name}: {why}. "
            "Restore both from a backup, or delete both and run: seawall-hub init",
        )


Stamp = tuple[tuple[str, int, int], ...]
"""Names, numbers and times of files: another one means that one of them was replaced."""


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Where everything of one hub lies."""

    path: Path

    @property
    def config(self) -> Path:
        """The settings."""
        return self.path / "hub.toml"

    @property
    def database_url(self) -> URL:
        """The database, where the settings name no other. No text, since a path may hold what a URL gives a meaning."""
        return URL.create("sqlite", database=str(self.database))

    @property
    def database(self) -> Path:
        """The file of it."""
        return self.path / "hub.db"

    @property
    def ca(self) -> Pair:
        """The certificate authority's."""
        return self._pair("ca")

    @property
    def server(self) -> Pair:
        """The two listeners'."""
        return self._pair("server")

    @property
    def operator(self) -> Pair:
        """The first operator's."""
        return self._pair("operator")

    @property
    def outgoing(self) -> Path:
        """The CA certificate that is trusted beside the one that issues, while a rotation is under way; empty or missing: none is."""
        return self.path / "outgoing.crt"

    @property
    def former(self) -> Path:
        """The CA certificates that were trusted once."""
        return self.path / "former.crt"

    @property
    def bridges(self) -> Path:
        """The keys of newer CAs, each signed by the one before it."""
        return self.path / "bridge.crt"

    @property
    def changes(self) -> Path:
        """Files of a rotation that is decided; they are about to replace those beside this folder."""
        return self.path / "rotation"

    def _pair(self, name: str) -> Pair:
        return Pair(self.path / f"{name}.key", self.path / f"{name}.crt")

    def load_ca(self, trust_domain: str, clock: Clock) -> CertificateAuthority:
        """Reads the certificate authority.

        Raises:
            NotPossibleNow: CONFIG_INVALID, it is missing or damaged, or of another trust domain.
        """
        key, certificate = self.ca.load()
        if spiffe_uris(certificate) != [f"spiffe://{trust_domain}"]:
            raise self.ca.damaged(f"they are not of the trust domain {trust_domain} that {self.config.name} names")
        return CertificateAuthority(key, certificate, trust_domain, clock)

    def load_trust(self, trust_domain: str, clock: Clock) -> Trust:
        """Reads all certificate authorities.

        Raises:
            NotPossibleNow: CONFIG_INVALID, one is missing or damaged, or of another trust domain.
        """
        bridges = [one for one in _read_certificates(self.bridges) if one.not_valid_after_utc > clock()]
        return Trust(
            self.load_ca(trust_domain, clock),
            tuple(_read_certificates(self.outgoing)),
            tuple(_read_certificates(self.former)),
            tuple(bridges),
        )

    def expiries(self) -> dict[str, datetime]:
        """Returns when the hub's own certificates expire.

        Raises:
            NotPossibleNow: CONFIG_INVALID, one is missing or damaged.
        """
        return {name: pair.load()[1].not_valid_after_utc for name, pair in (("ca", self.ca), ("server", self.server))}

    def trusted_pem(self) -> bytes:
        """Returns the CA certificates by which a hub on this folder is known.

        Raises:
            NotPossibleNow: CONFIG_INVALID, one is missing or damaged.
        """
        return self.ca.read()[1] + to_pem(tuple(_read_certificates(self.outgoing)))

    def settle(self) -> None:
        """Ends a rotation that was decided and then cut off.

        Raises:
            NotPossibleNow: CONFIG_INVALID, this user may not.
        """
        try:
            for file in sorted(self.changes.iterdir()):
                file.replace(self.path / file.name)
            self.changes.rmdir()
        except FileNotFoundError:
            return  # there is none, or another process is settling it too
        except OSError as error:
            raise NotPossibleNow(
                Reason.CONFIG_INVALID, f"{error.filename} cannot be used: {error.strerror}. Run this as the hub's user."
            ) from error

    def stamp(self) -> Stamp | None:
        """Returns what changes when a key or a certificate is replaced; None: they are being replaced now."""
        if self.changes.exists():
            return None
        pairs = (path for pair in (self.ca, self.server) for path in (pair.key_path, pair.certificate_path))
        states = [(path.name, path.stat()) for path in (*pairs, self.outgoing, self.former, self.bridges) if path.exists()]
        return tuple((name, state.st_ino, state.st_mtime_ns) for name, state in states)


def create(folder: DataFolder, trust_domain: str, hosts: Sequence[str], clock: Clock) -> list[Path]:
    """Makes the data folder, or what of it is missing.

    Args:
        folder: where.
        trust_domain: of a new hub; settings that are there already win.
        hosts: names and addresses that agents reach the hub by, for a new server certificate.
        clock: the time, in UTC.

    Returns:
        the files that were made; none: all was there.

    Raises:
        InvalidRequest: CONFIG_INVALID, a host is no name, the settings are wrong, or the folder cannot be written.
        NotPossibleNow: CONFIG_INVALID, the CA that is there is damaged.
    """
    try:
        folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder.path, error) from error
    folder.settle()
    made = _create_config(folder, trust_domain)
    trust_domain = load(folder.config).trust_domain
    new_ca = _create_ca(folder, trust_domain, clock())
    authority = folder.load_ca(trust_domain, clock)
    names = list(dict.fromkeys([*hosts, *LOOPBACK_NAMES]))
    operator = SpiffeId(trust_domain, "operator", "admin")
    return [
        *made,
        *new_ca,
        *_create_leaf(folder.server, lambda key: authority.issue_server(key, names), replace=bool(new_ca)),
        *_create_leaf(folder.operator, lambda key: authority.issue_client(key, operator, OPERATOR_LIFE), replace=bool(new_ca)),
    ]


def _create_config(folder: DataFolder, trust_domain: str) -> list[Path]:
    if folder.config.exists():
        return []
    if not TRUST_DOMAIN.fullmatch(trust_domain):
        raise InvalidRequest(Reason.CONFIG_INVALID, f"'{trust_domain[:80]}' is no trust domain: use a-z, 0-9, '.', '_' and '-'.")
    write_file(folder.config, HUB_TOML.format(trust_domain=trust_domain).encode())
    return [folder.config]


def _create_ca(folder: DataFolder, trust_domain: str, now: datetime) -> list[Path]:
    if folder.ca.certificate_path.exists():
        return []
    if folder.database.exists():
        raise folder.ca.damaged("agents were enrolled with them, and one is gone")
    key = ec.generate_private_key(ec.SECP256R1())
    return folder.ca.write(key, create_ca_certificate(key, trust_domain, now))


def _create_leaf(pair: Pair, issue: Callable[[ec.EllipticCurvePublicKey], x509.Certificate], *, replace: bool) -> list[Path]:
    if not replace and pair.key_path.exists() and pair.certificate_path.exists():
        return []
    key = ec.generate_private_key(ec.SECP256R1())
    return pair.write(key, issue(key.public_key()))


def renew_server(folder: DataFolder, authority: CertificateAuthority) -> None:
    """Signs the server's certificate anew, for the same key and names, once half of its life is over."""
    _, certificate = folder.server.load()
    if certificate.not_valid_after_utc - authority.clock() < SERVER_LIFE / 2:
        renewed = authority.reissue_server(certificate)
        write_file(folder.server.certificate_path, renewed.public_bytes(serialization.Encoding.PEM))


def private_key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Returns a private key as files have it: PKCS#8, PEM, not encrypted."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _make_private(key: Path) -> None:
    """Takes a key file away from everybody but its owner, and says so: somebody may have read it.

    Raises:
        OSError: it is not there, or not ours to change.
    """
    mode = stat.S_IMODE(key.stat().st_mode)
    if mode & 0o077:
        key.chmod(0o600)
        _log.warning(
            "a private key could be read by others, and no longer can",
            file=str(key),
            mode=f"{mode:04o}",
            advice="if one of them may have read it, replace it: seawall-hub ca rotate for ca.key, else delete the pair and run init",
        )


def _read_certificates(path: Path) -> list[x509.Certificate]:
    """Returns the certificates of a file, which need not be there."""
    try:
        content = path.read_bytes() if path.exists() else b""
        return x509.load_pem_x509_certificates(content) if content else []
    except (OSError, ValueError) as error:
        raise NotPossibleNow(Reason.CONFIG_INVALID, f"{path} cannot be read ({error}). Restore it from a backup.") from error


def write_file(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, readable by its owner alone.

    Raises:
        InvalidRequest: CONFIG_INVALID, the folder cannot be written.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError as error:
        raise _cannot_write(path, error) from error


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a power cut.

    Raises:
        OSError: it cannot be read.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> InvalidRequest:
    return InvalidRequest(Reason.CONFIG_INVALID, f"{path} cannot be written: {error.strerror}. Give another --data, or more rights.")
