"""SoftHSM: a real PKCS#11 module whose tokens are folders, so that they can be made, damaged and pulled out."""

import os
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

import pkcs11
from pkcs11 import Attribute, KeyType, ObjectClass
from pkcs11.util.ec import encode_named_curve_parameters

HOW_TO_GET_IT = "SoftHSM is not installed: apt-get install softhsm2"
SECURITY_OFFICERS_PIN = "31415926"

_MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so")


def find_module() -> str | None:
    """Returns the path of SoftHSM's library, or None; without its tool no token can be made."""
    if shutil.which("softhsm2-util") is None:
        return None
    return next((path for path in _MODULES if Path(path).exists()), None)


@dataclass(frozen=True)
class Token:
    """A token that is plugged in."""

    label: str
    pin: str
    serial: bytes
    module: str
    folder: Path

    def uri(self, key: str, query: str = "") -> str:
        return f"pkcs11:token={self.label};object={key}{query}"

    def make(self, key: str, key_id: bytes, curve: str = "secp256r1", **attributes: bool) -> str:
        """Makes a key pair. Returns its URI."""
        more = {Attribute[name]: value for name, value in attributes.items()}
        with self._session() as session:
            parameters = {Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}
            domain = session.create_domain_parameters(KeyType.EC, parameters, local=True)
            domain.generate_keypair(store=True, id=key_id, label=key, private_template=more)
        return self.uri(key)

    def make_rsa(self, key: str, key_id: bytes) -> str:
        with self._session() as session:
            session.generate_keypair(KeyType.RSA, 1024, store=True, id=key_id, label=key)
        return self.uri(key)

    def lose(self, key: str, *, public_half_alone: bool = False) -> None:
        with self._session() as session:
            for half in session.get_objects({Attribute.LABEL: key}):
                if half.object_class is ObjectClass.PUBLIC_KEY or not public_half_alone:
                    half.destroy()

    def mix(self, private: str, public: str, name: str) -> str:
        """Gives halves of two keys one name. Returns its URI."""
        with self._session() as session:
            for key, kind in ((private, ObjectClass.PRIVATE_KEY), (public, ObjectClass.PUBLIC_KEY)):
                for half in session.get_objects({Attribute.LABEL: key, Attribute.CLASS: kind}):
                    half[Attribute.LABEL] = name
        return self.uri(name)

    def pull(self) -> None:
        shutil.rmtree(self.folder)

    def _session(self) -> "pkcs11.Session":
        [token] = pkcs11.lib(self.module).get_tokens(token_serial=self.serial)
        return token.open(rw=True, user_pin=self.pin)


class SoftHsm:
    """A computer's slots. All tokens have one PIN.

    Args:
        module: the library.
        folder: of the tokens.
    """

    pin = "271828"

    def __init__(self, module: str, folder: Path) -> None:
        self.module = module
        self._tokens = folder / "tokens"
        self._tokens.mkdir()
        self.configuration = folder / "softhsm2.conf"
        self.configuration.write_text(f"directories.tokendir = {self._tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")

    def plug_in(self, label: str = "") -> Token:
        """Makes a token, with nothing on it."""
        label, before, serials = label or f"seawall-{uuid.uuid4().hex[:8]}", set(self._tokens.iterdir()), self._serials()
        command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", self.pin, "--so-pin", SECURITY_OFFICERS_PIN]
        environment = os.environ | {"SOFTHSM2_CONF": str(self.configuration)}
        subprocess.run(command, check=True, capture_output=True, env=environment)
        [folder] = set(self._tokens.iterdir()) - before
        self.look_again()
        [serial] = self._serials() - serials
        return Token(label, self.pin, serial, self.module, folder)

    def look_again(self) -> None:
        """The module looks for tokens when it starts."""
        pkcs11.lib(self.module).reinitialize()

    def _serials(self) -> set[bytes]:
        return {token.serial for token in pkcs11.lib(self.module).get_tokens()}
