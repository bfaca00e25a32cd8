"""Keys on a PKCS#11 token: ECDSA on P-256 or P-384, signed with on the token, which they never leave.

The signatures are those of securesystemslib's HSMSigner. That one knows a single module in a process, a token by its label and a key
by a whole number; here the URI says all three, and what can go wrong is told apart.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pkcs11
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pkcs11.constants import Attribute, ObjectClass, TokenFlag
from pkcs11.exceptions import PinIncorrect, PinInvalid, PinLenRange, PinLocked, PKCS11Error
from pkcs11.mechanisms import KeyType, Mechanism
from pkcs11.util.ec import encode_ec_public_key, encode_ecdsa_signature
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, SecretsHandler, Signature, Signer, SSlibKey

from contract.errors import InvalidRequest, Reason, Unavailable
from models.pkcs11_uri import KeyUri, parse_key_uri


class TokenSigner(Signer):
    """Signs on a token.

    Args:
        uri: of the key.
        module_path: the library that speaks to the token.
        public_key: its public half.
        pin: of the token.
    """

    def __init__(self, uri: KeyUri, module_path: str, public_key: SSlibKey, pin: str) -> None:
        self._uri = uri
        self._module_path = module_path
        self._public_key = public_key
        self._pin = pin

    @property
    def public_key(self) -> SSlibKey:
        """Returns the public half."""
        return self._public_key

    @classmethod
    def from_priv_key_uri(cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None) -> "TokenSigner":
        """Returns the signer of a URI that names its module, as securesystemslib asks for one.

        Raises:
            InvalidRequest: FIELD_INVALID, the URI or the public key is none of ours, or no PIN can be had.
        """
        uri = parse_key_uri(priv_key_uri)
        if not isinstance(public_key, SSlibKey) or secrets_handler is None:
            raise InvalidRequest(Reason.FIELD_INVALID, f"{uri.text} needs a public key and somebody to ask for the PIN.")
        return cls(uri, uri.module(""), public_key, secrets_handler("pin"))

    def sign(self, payload: bytes) -> Signature:
        """Signs, and verifies what the token has made.

        Raises:
            InvalidRequest: FIELD_INVALID, the PIN is wrong, or the token's two halves of the key do not belong together.
            Unavailable: KEY_UNAVAILABLE, the token is away or does not answer.
        """
        digest = hashlib.new(f"sha{self._public_key.scheme[-3:]}", payload).digest()
        with _session(self._uri, self._module_path, self._pin) as session:
            private = _find(session, self._uri, ObjectClass.PRIVATE_KEY)
            again = self._pin if private[Attribute.ALWAYS_AUTHENTICATE] else None
            raw = private.sign(digest, mechanism=Mechanism.ECDSA, pin=again)
        signature = Signature(self._public_key.keyid, encode_ecdsa_signature(raw).hex())
        try:
            self._public_key.verify_signature(signature, payload)
        except UnverifiedSignatureError as error:
            raise _wrong(self._uri, "its private key does not belong to its public key") from error
        return signature


def open_token_key(uri: KeyUri, module_path: str, pin: str) -> TokenSigner:
    """Logs in, and reads the public half of a key that can sign.

    Args:
        uri: of the key.
        module_path: the library that speaks to the token.
        pin: of the token.

    Raises:
        InvalidRequest: FIELD_INVALID, the module cannot be loaded, the PIN is wrong, there is no such key or it is of a wrong kind.
        Unavailable: KEY_UNAVAILABLE, the token is away or does not answer.
    """
    with _session(uri, module_path, pin) as session:
        private = _find(session, uri, ObjectClass.PRIVATE_KEY)
        if not private[Attribute.SIGN]:
            raise _wrong(uri, "the token lets it not sign (CKA_SIGN)")
        public = _public_half(uri, _find(session, uri, ObjectClass.PUBLIC_KEY))
    return TokenSigner(uri, module_path, public, pin)


def refused_pin(flags: TokenFlag) -> str:
    """Returns what a token says of a PIN that it has refused: PKCS#11 has no number of tries, but three flags (CK_TOKEN_INFO)."""
    if TokenFlag.USER_PIN_LOCKED in flags:
        return "is locked: the token's security officer can set a new one"
    if TokenFlag.USER_PIN_FINAL_TRY in flags:
        return "is wrong: one try is left before the token locks it"
    if TokenFlag.USER_PIN_COUNT_LOW in flags:
        return "is wrong; the token counts the wrong ones, and may lock it soon"
    return "is wrong"


@contextmanager
def _session(uri: KeyUri, module_path: str, pin: str) -> Iterator[Any]:
    """Each signature has a session of its own: a token that was pulled and plugged in again is found again."""
    library = _load(uri, module_path)
    try:
        token = _find_token(uri, library)
        try:
            session = token.open(user_pin=pin)
        except (PinIncorrect, PinInvalid, PinLenRange, PinLocked) as error:
            raise _wrong(uri, f"the PIN of token {uri.token_name} {refused_pin(_find_token(uri, library).flags)}") from error
        with session:
            yield session
    except PKCS11Error as error:
        why = " ".join(filter(None, (type(error).__name__, str(error))))
        raise Unavailable(
            Reason.KEY_UNAVAILABLE,
            f"The token of {uri.text} does not answer ({why}). Plug it in and try again.",
        ) from error


def _load(uri: KeyUri, module_path: str) -> Any:
    try:
        return pkcs11.lib(module_path)
    except PKCS11Error as error:
        why = str(error) or f"{type(error).__name__} while it started"
        raise _wrong(uri, f"{module_path} is no PKCS#11 library that works ({why})") from error


def _find_token(uri: KeyUri, library: Any) -> Any:
    tokens = [token for token in library.get_tokens() if TokenFlag.TOKEN_INITIALIZED in token.flags]
    found = [token for token in tokens if all(value == _of_token(token, name) for name, value in uri.token.items())]
    if not found:
        there = ", ".join(token.label for token in tokens) or "none"
        raise Unavailable(
            Reason.KEY_UNAVAILABLE, f"There is no token {uri.token_name}: plug it in, or name another. Tokens that are there: {there}."
        )
    if len(found) > 1:
        serials = ", ".join(f"serial={_of_token(token, 'serial')}" for token in found)
        raise _wrong(uri, f"{len(found)} tokens are meant: add one of {serials}")
    return found[0]


def _of_token(token: Any, name: str) -> str:
    found = {
        "token": token.label,
        "serial": token.serial.decode(errors="replace"),
        "manufacturer": token.manufacturer_id,
        "model": token.model,
    }
    return str(found[name])


def _find(session: Any, uri: KeyUri, kind: ObjectClass) -> Any:
    wanted: dict[Attribute, Any] = {Attribute.CLASS: kind}
    if uri.label is not None:
        wanted[Attribute.LABEL] = uri.label
    if uri.id is not None:
        wanted[Attribute.ID] = uri.id
    found = list(session.get_objects(wanted))
    half = "private" if kind is ObjectClass.PRIVATE_KEY else "public"
    if not found:
        raise _wrong(uri, f"there is no such {half} key on the token")
    if len(found) > 1:
        raise _wrong(uri, f"{len(found)} {half} keys of the token are meant: name both object and id")
    if found[0][Attribute.KEY_TYPE] is not KeyType.EC:
        raise _wrong(uri, f"it is a key of kind {found[0][Attribute.KEY_TYPE].name}: EC on P-256 or P-384 is wanted")
    return found[0]


def _public_half(uri: KeyUri, public: Any) -> SSlibKey:
    try:
        key = load_der_public_key(encode_ec_public_key(public))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _wrong(uri, "its curve is not known: P-256 or P-384 is wanted") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        raise _wrong(uri, "its curve is another one: P-256 or P-384 is wanted")
    return SSlibKey.from_crypto(key)


def _wrong(uri: KeyUri, why: str) -> InvalidRequest:
    return InvalidRequest(Reason.FIELD_INVALID, f"{uri.text} cannot be used: {why}.")
