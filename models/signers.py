"""One way to name a signing key: an encrypted PEM file, a PKCS#11 URI, or a ceremony's note of a key that a token holds."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from securesystemslib.signer import Key, Signer

from contract.errors import InvalidRequest, Reason
from models.access import Access
from models.keys import NAMED_DIGITS, load_key, public_key_of
from models.pkcs11_uri import KeyUri, is_key_uri, parse_key_uri
from models.trust import write_whole

NOTE_SUFFIX = ".json"
"""Of a note, which lies where the PEM file of another key would: `ROLE-ID.json`."""


@dataclass(frozen=True, slots=True)
class Given:
    """A key that was there already, and what it was called."""

    name: str
    signer: Signer


def open_signer(name: str, access: Access) -> Signer:
    """Opens the key of a name.

    Raises:
        InvalidRequest: FIELD_INVALID, it is no key of ours, or its secret is wrong.
        Unavailable: KEY_UNAVAILABLE, its token is not there.
    """
    if is_key_uri(name):
        return _open_token_key(parse_key_uri(name), access)
    path = Path(name)
    return _open_noted(path, access) if path.suffix == NOTE_SUFFIX else load_key(path, access.passphrase)


def open_signers(names: Iterable[str], access: Access) -> dict[str, Signer]:
    """Opens keys, by their ids."""
    return {signer.public_key.keyid: signer for signer in (open_signer(name, access) for name in names)}


def open_given(given: Sequence[str], most: Mapping[str, int], access: Access) -> dict[str, list[Given]]:
    """Opens keys that are there already, each given as ROLE=NAME.

    Args:
        given: the keys.
        most: how many keys each role has.
        access: what opens them.

    Returns:
        them by role, in their order.

    Raises:
        InvalidRequest: FIELD_INVALID, there is no such role, it has less keys, or a key is given twice to one role.
        SeawallError: as `open_signer`.
    """
    found: dict[str, list[Given]] = {}
    for text in given:
        role, _, name = text.partition("=")
        if role not in most or not name:
            raise InvalidRequest(Reason.FIELD_INVALID, f"'{text}' is not ROLE=KEY with a role of {', '.join(most)}.")
        signer, others = open_signer(name, access), found.setdefault(role, [])
        if signer.public_key.keyid in [other.signer.public_key.keyid for other in others]:
            raise InvalidRequest(Reason.FIELD_INVALID, f"{name} is given to {role} twice.")
        if len(others) == most[role]:
            raise InvalidRequest(Reason.FIELD_INVALID, f"{role} has {most[role]} keys, and more are given.")
        others.append(Given(name, signer))
    return found


def note(folder: Path, role: str, given: Given) -> None:
    """Notes a token's key among a ceremony's keys: its URI and its public half. A file is its own note, and stays where it is.

    The library and the PIN's file are left out: they differ from machine to machine, and a note that came from elsewhere must not say
    which code is loaded.
    """
    if not is_key_uri(given.name):
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = given.signer.public_key
    content = {"uri": given.name.partition("?")[0], "keyid": key.keyid, **key.to_dict()}
    write_whole(folder / f"{role}-{key.keyid[:NAMED_DIGITS]}{NOTE_SUFFIX}", json.dumps(content, indent=1, sort_keys=True).encode())


def public_half(key: Key) -> str:
    """Returns a public key as JSON, as `seawall-hub trust request` prints it."""
    return json.dumps({"keyid": key.keyid, **key.to_dict()}, indent=1, sort_keys=True)


def find(folder: Path, key_ids: Sequence[str]) -> list[str]:
    """Returns those keys of a folder, by their names."""
    digits = {key_id[:NAMED_DIGITS] for key_id in key_ids}
    paths = sorted([*folder.glob("*.pem"), *folder.glob(f"*{NOTE_SUFFIX}")])
    return [str(path) for path in paths if path.stem.rpartition("-")[2] in digits]


def _open_noted(path: Path, access: Access) -> Signer:
    try:
        content = json.loads(path.read_bytes())
        uri, key = parse_key_uri(content.pop("uri")), public_key_of(content)
        if uri.module_path or uri.pin_path:
            raise ValueError("it would choose what is loaded or read")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(Reason.FIELD_INVALID, f"{path} is no note of a token's key: name the key by its pkcs11: URI.") from error
    signer = _open_token_key(uri, access)
    if signer.public_key.keyid != key.keyid:
        raise InvalidRequest(Reason.FIELD_INVALID, f"{uri.text} holds another key now than the one that {path} notes.")
    return signer


def _open_token_key(uri: KeyUri, access: Access) -> Signer:
    from models.token_keys import open_token_key  # only who has a token has installed what it imports

    return open_token_key(uri, uri.module(access.module_path), _pin(uri, access))


def _pin(uri: KeyUri, access: Access) -> str:
    """An empty PIN would cost a try."""
    try:
        pin = uri.pin_path.read_text().rstrip("\r\n") if uri.pin_path else access.pin(f"token {uri.token_name}")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(Reason.FIELD_INVALID, f"The PIN cannot be read from {uri.pin_path}: {error}.") from error
    if not pin:
        raise InvalidRequest(Reason.FIELD_INVALID, f"The PIN of token {uri.token_name} is empty.")
    return pin
