"""What this device says of its member key, by which rosters know it: the public half, and a proof that it has the other one."""

from collections.abc import Callable

import structlog
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.identity.files import Identity, IdentityFolder
from contract.errors import NotPossibleNow
from contract.identity import key_hash
from contract.secagg.possession import prove
from contract.tree_heads import public_der
from seawall.hub.v1.agent_pb2 import MemberKey

_log = structlog.get_logger(__name__)


class Membership:
    """Says it again, with another proof, when the certificate is another one.

    Args:
        folder: of the identity, where the key is.
        identity: returns who this device is now.
        is_enabled: says whether it takes part in rounds now: without that no key is made.
    """

    def __init__(self, folder: IdentityFolder, identity: Callable[[], Identity], is_enabled: Callable[[], bool]) -> None:
        self._folder = folder
        self._identity = identity
        self._is_enabled = is_enabled
        self._said: tuple[bytes, MemberKey] | None = None
        self._trouble = ""

    def claim(self) -> MemberKey | None:
        """Returns what the hub is told; None: this device takes part in no rounds, or its key cannot be used, which the log says once."""
        if not self._is_enabled():
            return None
        identity = self._identity()
        if self._said is None or self._said[0] != identity.certificate_pem:
            try:
                self._said, self._trouble = (identity.certificate_pem, self._made(identity)), ""
            except NotPossibleNow as error:
                if error.message != self._trouble:
                    _log.warning("this device cannot say its member key", reason=error.reason, advice=error.message)
                self._said, self._trouble = None, error.message
                return None
        return self._said[1]

    def _made(self, identity: Identity) -> MemberKey:
        key = self._folder.member_key()
        certificate_key = identity.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return MemberKey(public_key=public_der(key), proof=prove(key, identity.agent_id, key_hash(certificate_key)))
