"""The member key, by which rosters know this device: what the hub is told of it, and what the roster that was taken last has of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.identity.files import Identity, IdentityFolder
from agent.learning.rosters import KeptRoster
from contract.errors import NotPossibleNow
from contract.identity import key_hash
from contract.secagg.possession import prove
from contract.tree_heads import public_der
from seawall.hub.v1.agent_pb2 import MemberKey

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where this device stands.

    Args:
        member_key_hash: of its public member key; empty: it has none yet.
        says: whether the roster that was taken last has that key; empty: none was taken.
        is_other: whether it has another one, so that somebody else may be meant to speak in this device's name.
    """

    member_key_hash: str
    says: str = ""
    is_other: bool = False


NO_STANDING = Standing("")


def standing_of(identities: IdentityFolder, learning: Path) -> Standing:
    """Looks where this device stands, and makes no key.

    Args:
        identities: the folder of its identity.
        learning: the folder of the roster that was taken last.

    Raises:
        NotPossibleNow: CERTIFICATE_INVALID, the identity or the key cannot be read.
    """
    if not identities.enrolled or not identities.has_member_key:
        return NO_STANDING
    own, agent = key_hash(public_der(identities.member_key())), identities.read().agent_id
    roster = KeptRoster(learning).read()
    if roster is None:
        return Standing(own)
    version = f"Version {roster.version}"
    if agent not in roster.members:
        return Standing(own, f"{version} does not have this device: it takes part once it is in a signed one.")
    if roster.members[agent] != own:
        return Standing(
            own, f"{version} has another member key for this device than its own, {own}: tell who signs rosters.", is_other=True
        )
    return Standing(own, f"{version} has this device.")


class Membership:
    """Says the public half, with a proof that it has the other one: another proof when the certificate is another one.

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
