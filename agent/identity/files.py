"""Where the agent's identity lies on the disk: its key, its certificate, the hub's CA, and whom it was enrolled with, in one file."""

import json
import os
import stat
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from contract.errors import NotPossibleNow, Reason, SeawallError
from contract.identity import agent_name

_log = structlog.get_logger(__name__)

_FILE = "identity.json"
_NEXT_KEY = "next-key.pem"
_MEMBER_KEY = "member-key.pem"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this agent is, and which hub knows it.

    Args:
        agent_id: as in `agents/{agent}`.
        trust_domain: the hub's.
        hub_address: `host:port` of the hub's mTLS listener.
        key_pem: the private key; it never leaves the device.
        certificate_pem: the agent's certificate.
        ca_pem: the hub's CA certificate; two of them while the CA changes.
        enrollment_address: `host:port` of the hub's enrolment listener: the way back when the certificate has expired.
        root_sha256: of the root that releases are trusted from; empty: the join token named none.
    """

    agent_id: str
    trust_domain: str
    hub_address: str
    key_pem: bytes = field(repr=False)
    certificate_pem: bytes
    ca_pem: bytes
    enrollment_address: str = ""
    root_sha256: str = ""

    @property
    def certificate(self) -> x509.Certificate:
        """The agent's certificate."""
        return x509.load_pem_x509_certificate(self.certificate_pem)

    @property
    def expire_time(self) -> datetime:
        """The end of the certificate's life, UTC."""
        return self.certificate.not_valid_after_utc


class IdentityFolder:
    """The folder of an identity. All of it is one file, put there by renaming: a power cut leaves the old one or the new one.

    Args:
        folder: made with mode 0700 where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def path(self) -> Path:
        """Of the folder."""
        return self._folder

    @property
    def enrolled(self) -> bool:
        """Whether an identity is there.

        Raises:
            NotPossibleNow: CERTIFICATE_INVALID, this user may not look.
        """
        try:
            return (self._folder / _FILE).exists()
        except OSError as error:
            raise NotPossibleNow(
                Reason.CERTIFICATE_INVALID, f"The identity in {self._folder} cannot be read ({error}): run this as the agent's user."
            ) from error

    def read(self) -> Identity:
        """Returns the identity.

        Raises:
            NotPossibleNow: CERTIFICATE_INVALID, there is none, or it is damaged.
        """
        try:
            make_private(self._folder / _FILE)
            return _parse(json.loads((self._folder / _FILE).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, UnsupportedAlgorithm, SeawallError) as error:
            raise NotPossibleNow(
                Reason.CERTIFICATE_INVALID,
                f"The identity in {self._folder} cannot be read ({error}): enrol again with seawall-agent enroll --again TOKEN.",
            ) from error

    def next_key(self) -> ec.EllipticCurvePrivateKey:
        """Returns the key that a new certificate is asked for. It stays the same until that certificate is written.

        Raises:
            NotPossibleNow: CERTIFICATE_INVALID, the disk does not take it.
        """
        return _kept_key(self._folder / _NEXT_KEY, _ENROL_AGAIN, "")

    def member_key(self) -> ec.EllipticCurvePrivateKey:
        """Returns the key by which rosters know this device. Made at the first call; it stays the same whatever becomes of certificates.

        Raises:
            NotPossibleNow: CERTIFICATE_INVALID, the disk does not take it, or what is there is damaged.
        """
        return _kept_key(self._folder / _MEMBER_KEY, _MAKE_ANOTHER, f" {_ANOTHER_ROSTER}")

    @property
    def has_member_key(self) -> bool:
        """Whether a member key is there."""
        return (self._folder / _MEMBER_KEY).exists()

    def renew(self, identity: Identity) -> None:
        """Writes an identity with a certificate for the next key, which is then no longer the next.

        Raises:
            NotPossibleNow: CERTIFICATE_INVALID, the disk does not take it.
        """
        self.write(identity)
        (self._folder / _NEXT_KEY).unlink(missing_ok=True)

    def write(self, identity: Identity) -> None:
        """Writes an identity, synced to the disk.

        Raises:
            NotPossibleNow: CERTIFICATE_INVALID, the disk does not take it.
        """
        content = {name: value.decode() if isinstance(value, bytes) else value for name, value in asdict(identity).items()}
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._folder / _FILE, json.dumps(content, indent=1).encode())
            sync_folder(self._folder.parent)
        except OSError as error:
            raise NotPossibleNow(
                Reason.CERTIFICATE_INVALID,
                f"The identity cannot be written to {self._folder} ({error}): make room, then enrol with a new join token.",
            ) from error


def _parse(content: dict[str, Any]) -> Identity:
    agent_name(content["agent_id"])
    identity = Identity(
        agent_id=content["agent_id"],
        trust_domain=content["trust_domain"],
        hub_address=content["hub_address"],
        key_pem=content["key_pem"].encode(),
        certificate_pem=content["certificate_pem"].encode(),
        ca_pem=content["ca_pem"].encode(),
        enrollment_address=content.get("enrollment_address", ""),
        root_sha256=content.get("root_sha256", ""),
    )
    x509.load_pem_x509_certificate(identity.ca_pem)
    key, certificate = load_pem_private_key(identity.key_pem, None), x509.load_pem_x509_certificate(identity.certificate_pem)
    if key.public_key() != certificate.public_key():
        raise ValueError("the certificate is not of this key")
    return identity


def _kept_key(file: Path, if_seen: str, then: str) -> ec.EllipticCurvePrivateKey:
    """Returns the key in a file, made and put there at the first call.

    Args:
        file: with the key.
        if_seen: what to do where others could read it.
        then: what has to be done once it is removed.
    """
    try:
        if not file.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            write_private(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        make_private(file, if_seen)
        kept = load_pem_private_key(file.read_bytes(), None)
        if not isinstance(kept, ec.EllipticCurvePrivateKey):
            raise ValueError("it is no key of ours")
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise NotPossibleNow(
            Reason.CERTIFICATE_INVALID, f"The key in {file.parent} cannot be used ({error}): make room, or remove {file.name}.{then}"
        ) from error
    return kept


_ENROL_AGAIN = "if one of them may have read it: seawall-agent enroll --again TOKEN"
_ANOTHER_ROSTER = "Rounds are without this device until a roster with its next key is signed."
_MAKE_ANOTHER = f"if one of them may have read it, stop the agent and remove it. {_ANOTHER_ROSTER}"


def make_private(file: Path, advice: str = _ENROL_AGAIN) -> None:
    """Takes a file with a key away from everybody but its owner, and says so: somebody may have read it.

    Args:
        file: with the key.
        advice: what to do then.

    Raises:
        OSError: it is not there, or not ours to change.
    """
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        file.chmod(0o600)
        _log.warning(
            "a private key could be read by others, and no longer can",
            file=str(file),
            mode=f"{mode:04o}",
            advice=advice,
        )


def write_private(path: Path, content: bytes) -> None:
    """Writes a file of mode 0600 so that after a power cut there is either the old one or the new one."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)  # one that a power cut has left may have any mode
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes sure that what was put into a folder is still in it after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def pem(certificate_der: bytes) -> bytes:
    """Returns a certificate in PEM.

    Raises:
        ValueError: it is no certificate.
    """
    return x509.load_der_x509_certificate(certificate_der).public_bytes(Encoding.PEM)
