"""An enrolment under way: its key and its request's id are on the disk before the hub is asked.

A join token is good once. Where the answer is lost, the same request is asked again, and the hub gives the same answer.
"""

import json
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from agent.identity.files import make_private, write_private
from contract.errors import NotPossibleNow, Reason

_FILE = "enrollment.json"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to be enrolled.

    Args:
        token_id: the public part of the join token that it is made with.
        request_id: a UUID; the same at every try.
        key_pem: the private key of the identity that is to be; the same at every try.
    """

    token_id: str
    request_id: str
    key_pem: str = field(repr=False)

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        """The private key.

        Raises:
            ValueError: it is none of ours.
        """
        key = load_pem_private_key(self.key_pem.encode(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("it is no EC key")  # as load_pem_private_key says it
        return key


def new_attempt(token_id: str) -> Attempt:
    """Returns an attempt that nobody remembers."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Attempt(token_id, str(uuid.uuid4()), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


class Attempts:
    """The attempt that is kept beside the identity.

    Args:
        folder: of the identity; made with mode 0700 where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / _FILE

    def begin(self, token_id: str) -> Attempt:
        """Returns the attempt with this token, synced to the disk: the earlier one, or a new one in place of one with another token.

        Raises:
            NotPossibleNow: CERTIFICATE_INVALID, the disk does not take it, or what is there cannot be read.
        """
        try:
            if self._file.exists():
                make_private(self._file)
                before = Attempt(**json.loads(self._file.read_bytes()))
                if before.token_id == token_id and before.key:
                    return before
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = new_attempt(token_id)
            write_private(self._file, json.dumps(asdict(new)).encode())
        except (OSError, ValueError, TypeError, AttributeError, UnsupportedAlgorithm) as error:
            raise NotPossibleNow(
                Reason.CERTIFICATE_INVALID, f"The enrolment in {self._folder} cannot be begun ({error}): make room, or remove {_FILE}."
            ) from error
        return new

    def end(self) -> None:
        """Forgets the attempt, since its identity is written."""
        self._file.unlink(missing_ok=True)
