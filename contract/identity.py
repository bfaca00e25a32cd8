"""Names: of agents, of certificates, and the token that lets a device in.

Sources: SPIFFE-ID specification (https://github.com/spiffe/spiffe, sections 2.1 and 2.2), AIP-122 for resource names.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field

from contract.errors import InvalidRequest, NotAuthenticated, Reason

AGENT_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""An agent's id: a DNS label (RFC 1123), so that it fits in topics, names and certificates."""

TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")

ROLES = ("agent", "operator", "auditor", "publisher")


def agent_name(agent_id: str) -> str:
    """Returns `agents/{agent}`.

    Raises:
        InvalidRequest: NAME_INVALID, the id is no DNS label.
    """
    if not AGENT_ID.fullmatch(agent_id):
        raise InvalidRequest(
            Reason.NAME_INVALID,
            f"'{agent_id[:80]}' is no agent id: use 1 to 63 of a-z, 0-9 and '-', not '-' at either end.",
        )
    return f"agents/{agent_id}"


def parse_agent_name(name: str) -> str:
    """Returns the id in `agents/{agent}`.

    Raises:
        InvalidRequest: NAME_INVALID.
    """
    collection, _, agent_id = name.partition("/")
    if collection != "agents":
        raise InvalidRequest(Reason.NAME_INVALID, f"'{name[:80]}' is no agent's name: use agents/ID.")
    agent_name(agent_id)
    return agent_id


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """Who a certificate speaks for: `spiffe://TRUST_DOMAIN/agents/ID` or `spiffe://TRUST_DOMAIN/operators/NAME` and so on."""

    trust_domain: str
    role: str
    name: str

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}/{self.role}s/{self.name}"

    @classmethod
    def parse(cls, uri: str) -> "SpiffeId":
        """Reads a SPIFFE id.

        Raises:
            NotAuthenticated: CERTIFICATE_INVALID, it is none of ours.
        """
        match = re.fullmatch(rf"spiffe://({TRUST_DOMAIN.pattern})/([a-z]+)s/({AGENT_ID.pattern})", uri)
        if match is None or match[2] not in ROLES:
            raise NotAuthenticated(Reason.CERTIFICATE_INVALID, "The certificate's SPIFFE id has no role that is known here.")
        return cls(trust_domain=match[1], role=match[2], name=match[3])


def key_hash(public_key_der: bytes) -> str:
    """Returns the SHA-256 of a SubjectPublicKeyInfo in DER, 64 hexadecimal digits (RFC 7469, section 2.4, in another alphabet)."""
    return hashlib.sha256(public_key_der).hexdigest()


@dataclass(frozen=True, slots=True)
class JoinToken:
    """`id.secret.hash of the CA key`: lets one device in, and tells it whom to trust.

    A fourth part is the SHA-256 of the root of what is distributed, once the hub has one: the device takes releases from that root on.
    """

    token_id: str
    secret: str = field(repr=False)
    ca_key_hash: str
    root_sha256: str = ""

    def __str__(self) -> str:
        return ".".join(part for part in (self.token_id, self.secret, self.ca_key_hash, self.root_sha256) if part)

    @property
    def credential(self) -> str:
        """The part that the hub is shown, `id.secret`."""
        return f"{self.token_id}.{self.secret}"

    @classmethod
    def parse(cls, text: str) -> "JoinToken":
        """Reads a token.

        Raises:
            NotAuthenticated: JOIN_TOKEN_INVALID, with no part of the token in the message.
        """
        match = re.fullmatch(r"([0-9a-f]{16})\.([0-9a-zA-Z_-]{32,128})\.([0-9a-f]{64})(?:\.([0-9a-f]{64}))?", text.strip())
        if match is None:
            raise NotAuthenticated(
                Reason.JOIN_TOKEN_INVALID,
                "The join token is not whole: it has three or four parts with dots between. Copy all of it, or ask for a new one.",
            )
        return cls(token_id=match[1], secret=match[2], ca_key_hash=match[3], root_sha256=match[4] or "")

    def trusts(self, public_key_der: bytes) -> bool:
        """Says whether a CA's public key is the one that the token was made for."""
        return hmac.compare_digest(key_hash(public_key_der), self.ca_key_hash)
