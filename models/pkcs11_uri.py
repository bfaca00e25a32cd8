"""Which key on which token: a PKCS#11 URI (RFC 7512), of which what names a key is read. It holds no PIN: a command line is no secret."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from contract.errors import InvalidRequest, Reason
from models.access import MODULE_VARIABLE

SCHEME = "pkcs11:"
_TOKEN = ("token", "serial", "manufacturer", "model")
_KEY = ("object", "id", "type")
_QUERY = ("module-path", "pin-source")
_FILE = "file:"


@dataclass(frozen=True, slots=True)
class KeyUri:
    """A key on a token; None matches any.

    Args:
        text: the URI, as it was given.
        token: label, serial number, manufacturer and model of the token, of those that were given.
        label: of the key pair.
        id: of the key pair (CKA_ID).
        module_path: the library that speaks to the token.
        pin_path: the file that holds the PIN.
    """

    text: str
    token: Mapping[str, str]
    label: str | None
    id: bytes | None
    module_path: str | None
    pin_path: Path | None

    @property
    def token_name(self) -> str:
        """Returns the token's name for a person."""
        return " ".join(self.token.values()) or "the only one"

    def module(self, default: str) -> str:
        """Returns the path of the library that speaks to the token.

        Args:
            default: the one that serves where the URI names none; empty: none does.

        Raises:
            InvalidRequest: FIELD_INVALID, neither names one.
        """
        path = self.module_path or default
        if not path:
            raise _wrong(self.text, f"name the library that speaks to the token: ?module-path=/… in it, or {MODULE_VARIABLE}")
        return path


def is_key_uri(name: str) -> bool:
    """Returns whether it names a key on a token."""
    return name.startswith(SCHEME)


def parse_key_uri(text: str) -> KeyUri:
    """Reads a URI.

    Raises:
        InvalidRequest: FIELD_INVALID, it is none, names no key, or has an attribute that is not understood: another key may be meant.
    """
    if not is_key_uri(text):
        raise _wrong(text, f"it does not begin with {SCHEME}")
    path, _, query = text.removeprefix(SCHEME).partition("?")
    attributes = _attributes(text, path, ";", (*_TOKEN, *_KEY))
    options = _attributes(text, query, "&", _QUERY)
    if not {"object", "id"} & set(attributes):
        raise _wrong(text, "it names no object and no id; a shell needs it in quotes, for its semicolons")
    if attributes.get("type", b"private") not in (b"private", b"public"):
        raise _wrong(text, "its type is not that of a key pair, private")
    words = {name: _text(text, value) for name, value in {**attributes, **options}.items() if name != "id"}
    return KeyUri(
        text=text,
        token={name: words[name] for name in _TOKEN if name in words},
        label=words.get("object"),
        id=attributes.get("id"),
        module_path=words.get("module-path"),
        pin_path=_pin_path(text, words["pin-source"]) if "pin-source" in words else None,
    )


def _attributes(text: str, part: str, separator: str, known: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for item in filter(None, part.split(separator)):
        name, equals, value = item.partition("=")
        if name == "pin-value":
            raise _wrong("pkcs11:…", "a PIN in it can be seen by everybody on this machine: use pin-source=file:PATH, or type it")
        if name not in known or not equals:
            raise _wrong(text, f"'{name[:40]}' is not understood: {', '.join(known)} are")
        if name in found:
            raise _wrong(text, f"it has two of {name}")
        found[name] = unquote_to_bytes(value)
    return found


def _text(text: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise _wrong(text, "it is no UTF-8") from error


def _pin_path(text: str, source: str) -> Path:
    """A file; RFC 7512, section 2.4, would let a program be run too."""
    path = Path(source.removeprefix(_FILE).removeprefix("//"))
    if not path.is_absolute():
        raise _wrong(text, "its pin-source is no file: write pin-source=file:/absolute/path")
    return path


def _wrong(text: str, why: str) -> InvalidRequest:
    return InvalidRequest(Reason.FIELD_INVALID, f"{text} cannot be used: {why}.")
