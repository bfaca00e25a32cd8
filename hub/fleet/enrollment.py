"""How a device becomes an agent: an operator makes a token, the device spends it once for a certificate."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from contract.errors import Conflict, InvalidRequest, NotAuthenticated, Reason
from contract.identity import JoinToken, SpiffeId, agent_name, key_hash
from hub.fleet.authorities import Authorities
from hub.fleet.certificates import CertificateAuthority, certificate_der, public_key_der, read_certificate_request
from hub.fleet.configuration import refresh
from hub.fleet.events import Journal
from hub.fleet.lifecycle import check_labels
from hub.store import agents, join_tokens, releases
from hub.store.agents import RETIRED, AgentRecord
from hub.store.database import Database
from hub.store.events import NewEvent
from hub.store.join_tokens import JoinTokenRecord
from hub.store.signals import Topic, signal

DEFAULT_TTL = timedelta(hours=1)
MAX_TTL = timedelta(days=30)

SECRET_BYTES = 32
"""256 random bits cannot be guessed, so that one SHA-256 protects them as well as a slow hash would."""

Randomness = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class EnrollmentRequest:
    """What a device asks.

    Args:
        credential: `id.secret` of its join token.
        certificate_request: PKCS#10, DER.
        agent_id: the wanted id; empty: the hub chooses.
        request_id: a UUID, kept over retries.
    """

    credential: str
    certificate_request: bytes
    agent_id: str
    request_id: str


class Enrollment:
    """Makes tokens and takes them back for certificates.

    Args:
        database: where agents and tokens are kept.
        journal: told of those that come.
        authorities: the one that issues signs.
        agent_life: of an agent's certificate.
        randomness: returns so many random bytes.
    """

    def __init__(
        self, database: Database, journal: Journal, authorities: Authorities, agent_life: timedelta, randomness: Randomness
    ) -> None:
        self._database = database
        self._journal = journal
        self._authorities = authorities
        self._agent_life = agent_life
        self._randomness = randomness

    async def create_token(
        self, ttl: timedelta = DEFAULT_TTL, labels: Mapping[str, str] | None = None
    ) -> tuple[JoinToken, JoinTokenRecord]:
        """Makes a token. It cannot be shown again.

        Args:
            ttl: within which it may be used.
            labels: that the agent gets which enrols with it, these and no others.

        Raises:
            InvalidRequest: TTL_INVALID, FIELD_INVALID.
        """
        check_labels(labels or {})
        if not timedelta(0) < ttl <= MAX_TTL:
            raise InvalidRequest(Reason.TTL_INVALID, "The time to live must be above 0 and at most 30 days.")
        root = await self._database.read(releases.newest_root)
        root_sha256 = "" if root is None else hashlib.sha256(root).hexdigest()
        token = JoinToken(self._randomness(8).hex(), self._randomness(SECRET_BYTES).hex(), self._authorities.issuer.key_hash, root_sha256)
        now = self._authorities.clock()
        record = JoinTokenRecord(token.token_id, _secret_hash(token.secret), now, now + ttl, labels=dict(labels or {}))
        await self._database.write(lambda connection: join_tokens.insert(connection, record))
        return token, record

    async def enroll(self, request: EnrollmentRequest) -> AgentRecord:
        """Spends a token. The same request again, with the same key, returns the same certificate.

        Raises:
            NotAuthenticated: JOIN_TOKEN_INVALID, JOIN_TOKEN_EXPIRED, JOIN_TOKEN_USED.
            InvalidRequest: CSR_INVALID, NAME_INVALID.
            Conflict: AGENT_EXISTS.
        """
        if request.agent_id:
            agent_name(request.agent_id)
        token = JoinToken.parse(f"{request.credential}.{self._authorities.issuer.key_hash}")
        await self._database.read(partial(_check_token, token))
        key = read_certificate_request(request.certificate_request)
        return await self._journal.write(partial(self._spend, token.token_id, key, request))

    def _spend(
        self, token_id: str, key: ec.EllipticCurvePublicKey, request: EnrollmentRequest, connection: Connection
    ) -> tuple[AgentRecord, list[NewEvent]]:
        token = join_tokens.get(connection, token_id)
        digest = key_hash(public_key_der(key))
        now = self._authorities.clock()
        if token is None or token.spend_time is not None:
            return _earlier_result(connection, token, request.request_id, digest), []
        if token.expire_time <= now:
            raise NotAuthenticated(Reason.JOIN_TOKEN_EXPIRED, "The join token has expired. Ask the operator for a new one.")
        agent_id = request.agent_id or f"agent-{self._randomness(5).hex()}"
        authority = self._authorities.issuer
        certificate = authority.issue_client(key, SpiffeId(authority.trust_domain, "agent", agent_id), self._agent_life)
        record = _record(agent_id, digest, certificate, authority, token.labels)
        _insert(connection, record)
        refresh(connection, now, agent_id)
        signal(connection, Topic.ROLLOUTS, [agent_id])
        if not join_tokens.spend(connection, token_id, time=now, request_id=request.request_id, agent_id=agent_id):
            raise _used()
        return record, [NewEvent(now, "AGENT_ENROLLED", agent_name(agent_id))]


def _check_token(token: JoinToken, connection: Connection) -> None:
    """A wrong id and a wrong secret look alike, and take alike long."""
    record = join_tokens.get(connection, token.token_id)
    stored = record.secret_sha256 if record else bytes(hashlib.sha256().digest_size)
    if not hmac.compare_digest(stored, _secret_hash(token.secret)):
        raise NotAuthenticated(Reason.JOIN_TOKEN_INVALID, "The join token is not one of this hub. Ask its operator for a new one.")


def _earlier_result(connection: Connection, token: JoinTokenRecord | None, request_id: str, digest: str) -> AgentRecord:
    """A retry of the request that spent the token gets its certificate; everybody else is refused."""
    if token and token.agent_id and token.request_id == request_id:
        record = agents.get(connection, token.agent_id)
        if record is not None and record.key_hash == digest:
            return record
    raise _used()


def _insert(connection: Connection, record: AgentRecord) -> None:
    """A retired agent makes room for a new one of its name."""
    before = agents.get(connection, record.agent_id)
    if before is not None and before.state == RETIRED:
        agents.remove(connection, record.agent_id)
    try:
        agents.insert(connection, record)
    except IntegrityError as error:
        raise Conflict(
            Reason.AGENT_EXISTS, f"An agent {record.agent_id} is enrolled already: choose another id. The join token is still good."
        ) from error


def _record(
    agent_id: str, digest: str, certificate: x509.Certificate, authority: CertificateAuthority, labels: Mapping[str, str]
) -> AgentRecord:
    return AgentRecord(
        agent_id,
        digest,
        certificate_der(certificate),
        authority.clock(),
        certificate.not_valid_after_utc,
        labels=dict(labels),
        certificate_issuer=authority.key_hash,
    )


def _secret_hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _used() -> NotAuthenticated:
    return NotAuthenticated(Reason.JOIN_TOKEN_USED, "The join token has been used. Ask the operator for a new one.")
