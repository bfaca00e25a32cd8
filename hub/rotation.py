"""A new certificate authority in place of the old one, in two steps, with a time between them in which both are trusted."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from contract.errors import InvalidRequest, NotPossibleNow, Reason
from hub.fleet.authorities import Trust, to_pem
from hub.fleet.certificates import OPERATOR_LIFE, CertificateAuthority, create_ca_certificate
from hub.folder import DataFolder, private_key_pem, sync_folder, write_file


def rotate(folder: DataFolder, trust: Trust, comeback: timedelta) -> Trust:
    """Makes a new CA, which issues from now on; the old one stays trusted, and its key is deleted.

    The server's and the operator's certificates are issued anew, for the same keys.

    Args:
        folder: of the hub, running or not.
        trust: as it is.
        comeback: for so long an agent that knows the old CA alone may come back.

    Returns:
        the trust as it is from now on.

    Raises:
        NotPossibleNow: CONFIG_INVALID, a rotation is under way.
        InvalidRequest: CONFIG_INVALID, the folder cannot be written.
    """
    if trust.outgoing:
        raise NotPossibleNow(
            Reason.CONFIG_INVALID, "A rotation is under way. See: seawall-hub ca status. End it with: seawall-hub ca finish"
        )
    old, now = trust.issuer, trust.issuer.clock()
    key = ec.generate_private_key(ec.SECP256R1())
    new = CertificateAuthority(key, create_ca_certificate(key, old.trust_domain, now), old.trust_domain, old.clock)
    bridges = (old.cross_sign(new.certificate, comeback), *(one for one in trust.bridges if one.not_valid_after_utc > now))
    _replace(
        folder,
        {
            folder.outgoing.name: to_pem((old.certificate,)),
            folder.bridges.name: to_pem(bridges),
            folder.ca.key_path.name: private_key_pem(key),
            folder.ca.certificate_path.name: to_pem((new.certificate,)),
            **_leaves(folder, new),
        },
    )
    return Trust(new, (old.certificate,), trust.former, bridges)


def finish(folder: DataFolder, trust: Trust) -> Trust:
    """Trusts the outgoing CA no more.

    Args:
        folder: of the hub, running or not.
        trust: as it is.

    Returns:
        the trust as it is from now on.

    Raises:
        NotPossibleNow: CONFIG_INVALID, no rotation is under way.
        InvalidRequest: CONFIG_INVALID, the folder cannot be written.
    """
    if not trust.outgoing:
        raise no_rotation()
    now = trust.issuer.clock()
    former = (*trust.outgoing, *(one for one in trust.former if one.not_valid_after_utc > now))
    _replace(folder, {folder.former.name: to_pem(former), folder.outgoing.name: b""})
    return Trust(trust.issuer, (), former, trust.bridges)


def no_rotation() -> NotPossibleNow:
    """Returns the error for a rotation that is not under way."""
    return NotPossibleNow(Reason.CONFIG_INVALID, "No rotation is under way. Begin one with: seawall-hub ca rotate")


def _leaves(folder: DataFolder, issuer: CertificateAuthority) -> dict[str, bytes]:
    server, operator = folder.server.load()[1], folder.operator.load()[1]
    return {
        folder.server.certificate_path.name: _pem(issuer.reissue_server(server)),
        folder.operator.certificate_path.name: _pem(issuer.reissue_client(operator, OPERATOR_LIFE)),
    }


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _replace(folder: DataFolder, files: Mapping[str, bytes]) -> None:
    """Replaces files, all or none: the renaming of the folder with the new ones decides, and `settle` goes on where it was cut off."""
    try:
        prepared = _prepare(folder, files)
        prepared.rename(folder.changes)
        sync_folder(folder.path)
    except OSError as error:
        raise InvalidRequest(
            Reason.CONFIG_INVALID, f"{error.filename} cannot be written: {error.strerror}. Run this as the hub's user, and make room."
        ) from error
    folder.settle()


def _prepare(folder: DataFolder, files: Mapping[str, bytes]) -> Path:
    prepared = folder.changes.with_name(folder.changes.name + ".new")
    prepared.mkdir(mode=0o700, exist_ok=True)
    for leftover in prepared.iterdir():
        leftover.unlink()
    for name, content in files.items():
        write_file(prepared / name, content)
    sync_folder(prepared)
    return prepared
