"""The online key: with it, the hub signs snapshots and timestamps. It can stop updates; it can make none.

What the hub says of logs is signed with it too, behind a context that no metadata begin with.

It lies beside the CA's key. The root, which is signed elsewhere, names its public half.
"""

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from securesystemslib.signer import CryptoSigner

from contract.errors import NotPossibleNow, Reason
from hub.folder import write_file

ONLINE_KEY = "online.key"


def online_signer(folder: Path) -> CryptoSigner:
    """Returns the signer of a data folder.

    Raises:
        SeawallError: as `online_key`.
    """
    return CryptoSigner(online_key(folder))


def online_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    """Returns the key of a data folder, having made it where there is none.

    Raises:
        NotPossibleNow: CONFIG_INVALID, the key is damaged.
        InvalidRequest: CONFIG_INVALID, it cannot be written.
    """
    path = folder / ONLINE_KEY
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        write_file(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    try:
        kept = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(path) from error
    if not isinstance(kept, ec.EllipticCurvePrivateKey):
        raise _damaged(path)
    return kept


def request(signer: CryptoSigner) -> str:
    """Returns the public half as JSON, for the ceremony that signs it into the root."""
    key = signer.public_key
    return json.dumps({"keyid": key.keyid, **key.to_dict()}, indent=1, sort_keys=True)


def _damaged(path: Path) -> NotPossibleNow:
    return NotPossibleNow(
        Reason.CONFIG_INVALID,
        f"{path} is no key that can be read. Restore it from a backup; or delete it, start the hub, and sign its new key into the root.",
    )
