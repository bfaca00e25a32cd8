"""Signing keys: ECDSA P-256 in encrypted PEM files, each named after its role and the first digits of its id."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from contract.errors import Conflict, InvalidRequest, Reason

MIN_PASSPHRASE_CHARACTERS = 8
NAMED_DIGITS = 12

AskPassphrase = Callable[[str], str]
"""Returns the passphrase for what the argument names."""


def create_key(folder: Path, role: str, passphrase: str) -> CryptoSigner:
    """Makes a key and writes it, encrypted, as `ROLE-ID.pem`.

    Raises:
        InvalidRequest: FIELD_INVALID, the passphrase is too short.
        Conflict: FIELD_INVALID, such a file is there.
    """
    if len(passphrase) < MIN_PASSPHRASE_CHARACTERS:
        raise InvalidRequest(Reason.FIELD_INVALID, f"The passphrase is too short: give {MIN_PASSPHRASE_CHARACTERS} characters or more.")
    key = ec.generate_private_key(ec.SECP256R1())
    signer = CryptoSigner(key)
    path = folder / f"{role}-{signer.public_key.keyid[:NAMED_DIGITS]}.pem"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Conflict(Reason.FIELD_INVALID, f"{path} is there already.") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode())))
        file.flush()
        os.fsync(file.fileno())
    return signer


def load_key(path: Path, ask: AskPassphrase) -> CryptoSigner:
    """Reads a key.

    Raises:
        InvalidRequest: FIELD_INVALID, it is none of ours, not encrypted, or the passphrase is wrong.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), ask(str(path)).encode())
    except (OSError, ValueError, TypeError) as error:
        why = "the passphrase is wrong, or it is no encrypted PEM file" if isinstance(error, ValueError | TypeError) else str(error)
        raise InvalidRequest(Reason.FIELD_INVALID, f"{path} cannot be used: {why}.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InvalidRequest(Reason.FIELD_INVALID, f"{path} is no EC key: make one with seawall-models trust init.")
    return CryptoSigner(key)


def read_online_key(path: Path) -> Key:
    """Reads the public key that `seawall-hub trust request` prints.

    Raises:
        InvalidRequest: FIELD_INVALID.
    """
    try:
        return public_key_of(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(
            Reason.FIELD_INVALID, f"{path} is no public key with its own id: write it with seawall-hub trust request > FILE."
        ) from error


def public_key_of(content: dict[str, Any]) -> SSlibKey:
    """Returns the public key that JSON holds.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is none, or has an id that is not its own.
    """
    key = SSlibKey.from_dict(content.pop("keyid"), content)
    made = SSlibKey.from_crypto(key._crypto_key())  # nothing public gives the id that belongs to a key
    if made.keyid != key.keyid:
        raise ValueError("its id is not its key's")
    return key
