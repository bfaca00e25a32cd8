"""Witnesses agents' logs: signs what goes on from what it has signed before, and keeps what does not."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from contract.errors import InvalidRequest, NotPossibleNow, Reason, SeawallError, Superseded
from contract.head_chain import contradiction
from contract.identity import agent_name, key_hash
from contract.merkle import is_consistent
from contract.tree_heads import SignedHead, TreeHead, Witness, public_der, to_millisecond, witness_head
from hub.audit.messages import head_message, refused_message
from hub.clock import Clock
from hub.fleet.directory import check_admitted
from hub.fleet.events import Journal
from hub.store import agents, heads
from hub.store.agents import AgentRecord
from hub.store.database import Database
from hub.store.events import NewEvent
from seawall.hub.v1 import audit_pb2

LOG_INCONSISTENT = "LOG_INCONSISTENT"
LOG_BEGUN_ANEW = "LOG_BEGUN_ANEW"


@dataclass(frozen=True, slots=True)
class Claim:
    """What an agent says of its log.

    Args:
        agent_id: from its certificate.
        key_hash: of the certificate's key.
        signed: the head.
        first_size: what it takes to be witnessed last; 0: nothing.
        proof: from there to the head.
    """

    agent_id: str
    key_hash: str
    signed: SignedHead
    first_size: int
    proof: Sequence[bytes]


Last = tuple[SignedHead, Witness] | None


class Witnessing:
    """The hub as a witness.

    Args:
        database: keeps what was witnessed.
        journal: is told of what does not fit.
        key: signs; the same in every process of the hub.
        clock: the time, in UTC.
    """

    def __init__(self, database: Database, journal: Journal, key: ec.EllipticCurvePrivateKey, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._key = key
        self._clock = clock

    async def start(self) -> None:
        """Notes the key, so that what it signs can be verified when there is another.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        public_key, now = public_der(self._key), self._clock()
        await self._database.write(lambda connection: heads.add_key(connection, public_key, now))

    async def witness(self, claim: Claim) -> tuple[SignedHead, Witness]:
        """Witnesses a head, or keeps it as evidence.

        Raises:
            InvalidRequest: FIELD_INVALID, LOG_SIGNATURE_INVALID.
            Superseded: LOG_HEAD_MOVED.
            NotPossibleNow: LOG_INCONSISTENT.
        """
        if claim.signed.head.log != agent_name(claim.agent_id) or claim.signed.head.size < 1:
            raise InvalidRequest(Reason.FIELD_INVALID, "tree_head must be of the caller's own log, with a leaf at least.")
        if not claim.signed.is_good():
            raise _bad_signature()
        outcome = await self._journal.write(partial(self._decide, claim))
        if isinstance(outcome, SeawallError):
            raise outcome
        return outcome

    async def record(self, agent_id: str) -> tuple[Last, Sequence[bytes], Sequence[bytes]]:
        """Returns the head of an agent's log that was witnessed last, every key that the hub has signed with, and what was refused."""

        def work(connection: Connection) -> tuple[Last, Sequence[bytes], Sequence[bytes]]:
            return heads.get(connection, agent_id), heads.keys(connection), heads.refused(connection, agent_id)

        return await self._database.read(work)

    async def hub_keys(self) -> Sequence[bytes]:
        """Returns every key that the hub has signed with."""
        return await self._database.read(heads.keys)

    def _decide(self, claim: Claim, connection: Connection) -> tuple[tuple[SignedHead, Witness] | NotPossibleNow, list[NewEvent]]:
        """An error that is returned leaves its evidence; one that is raised leaves nothing."""
        record = agents.get(connection, claim.agent_id)
        check_admitted(record, claim.key_hash)
        if record is None or key_hash(claim.signed.public_key) not in (record.key_hash, record.previous_key_hash):
            raise _bad_signature()
        last = heads.get(connection, claim.agent_id)
        before = last[0].head if last is not None else None
        if claim.first_size != (before.size if before is not None else 0):
            raise Superseded(
                Reason.LOG_HEAD_MOVED, "Something else was witnessed since. Ask for the head that was witnessed last, then try again."
            )
        why = "" if before is None else _misfit(before, claim)
        if before is None or not why:
            return self._witnessed(claim, connection), []
        if last is not None and last[1].time < record.create_time:
            detail = f"enrolled anew; of the log before, {before.size} receipts were witnessed, root {before.root.hex()}"
            return self._witnessed(claim, connection), [self._event(LOG_BEGUN_ANEW, claim, detail)]
        return self._refused(claim, why, record, connection)

    def _witnessed(self, claim: Claim, connection: Connection) -> tuple[SignedHead, Witness]:
        given = witness_head(self._key, claim.signed, to_millisecond(self._clock()))
        heads.put(connection, claim.agent_id, claim.signed, given)
        return claim.signed, given

    def _refused(self, claim: Claim, why: str, record: AgentRecord, connection: Connection) -> tuple[NotPossibleNow, list[NewEvent]]:
        last = heads.get(connection, record.agent_id)
        witnessed = head_message(last[0]) if last is not None else audit_pb2.TreeHead()
        evidence = refused_message(head_message(claim.signed), witnessed, self._clock(), why)
        is_new = heads.refuse(connection, claim.agent_id, claim.signed.head, evidence.SerializeToString())
        error = NotPossibleNow(
            Reason.LOG_INCONSISTENT, f"The log of receipts is not the one that was witnessed: {why}. See seawall-agent receipts verify."
        )
        return error, [self._event(LOG_INCONSISTENT, claim, why)] if is_new else []

    def _event(self, kind: str, claim: Claim, detail: str) -> NewEvent:
        return NewEvent(self._clock(), kind, agent_name(claim.agent_id), detail=detail)


def _misfit(before: TreeHead, claim: Claim) -> str:
    """Returns why a head does not go on from the one that was witnessed last; empty: it does."""
    head = claim.signed.head
    if is_consistent(before.size, before.root, head.size, head.root, claim.proof):
        return contradiction(before, head)
    return _why(before, head)


def _why(before: TreeHead, head: TreeHead) -> str:
    if head.size < before.size:
        return f"it has {head.size} receipts, and {before.size} were witnessed"
    if head.size == before.size:
        return f"its {head.size} receipts are others than the {before.size} that were witnessed"
    return f"its {head.size} receipts do not go on from the {before.size} that were witnessed"


def _bad_signature() -> InvalidRequest:
    return InvalidRequest(Reason.LOG_SIGNATURE_INVALID, "The head is not signed by a key that this agent is enrolled with. Sign it anew.")
