"""The hub's AuditService, as this agent calls it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from agent.hub_channel import refusal
from agent.identity.files import Identity
from agent.store.audit import LoggedReceipt
from contract.errors import NotAuthenticated, Reason
from contract.identity import agent_name
from contract.tree_heads import Chain, Previous, SignedHead, TreeHead, Witness, to_millisecond
from seawall.hub.v1 import audit_pb2 as pb
from seawall.hub.v1 import audit_pb2_grpc

TIMEOUT_SECONDS = 20.0

MOST_RECEIPTS = 50
"""In one call; the hub takes no more."""


@dataclass(frozen=True, slots=True)
class HubRecord:
    """What the hub has of this agent's log.

    Args:
        signed: the head that it has witnessed last; None: none.
        hub_keys: every key that it has ever signed with, SubjectPublicKeyInfo in DER.
    """

    signed: SignedHead | None
    hub_keys: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Of the log, as witnessed last."""
        return self.signed.head.size if self.signed is not None else 0


async def get_record(channel: grpc.aio.Channel, identity: Identity, timeout_seconds: float = TIMEOUT_SECONDS) -> HubRecord:
    """Asks what the hub has witnessed last.

    Raises:
        SeawallError: the hub refuses, gives no answer, or gives one that cannot be read.
    """
    request = pb.GetTreeHeadRequest(name=agent_name(identity.agent_id))
    try:
        found = await audit_pb2_grpc.AuditServiceStub(channel).GetTreeHead(request, timeout=timeout_seconds)
    except grpc.aio.AioRpcError as error:
        raise refusal(error, identity.hub_address) from error
    return HubRecord(_read(found.tree_head) if found.HasField("tree_head") else None, tuple(found.hub_keys))


async def witness(channel: grpc.aio.Channel, identity: Identity, signed: SignedHead, first_size: int, proof: list[bytes]) -> Witness:
    """Has the hub witness a head.

    Args:
        channel: to the hub.
        identity: of this agent.
        signed: the head.
        first_size: what the hub has witnessed last.
        proof: from there to the head.

    Raises:
        SeawallError: the hub refuses (InvalidRequest, with its reason), gives no answer, or one that is not about this head.
    """
    request = pb.WitnessTreeHeadRequest(tree_head=_message(signed), first_size=first_size, consistency_proof=proof)
    try:
        response = await audit_pb2_grpc.AuditServiceStub(channel).WitnessTreeHead(request, timeout=TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError as error:
        raise refusal(error, identity.hub_address) from error
    given = response.witness
    result = Witness(_time(given.time), given.public_key, given.signature)
    if not result.is_good(signed):
        raise NotAuthenticated(
            Reason.LOG_SIGNATURE_INVALID, "The hub's word for the log of receipts is not signed as it should be: tell its operator."
        )
    return result


async def record(channel: grpc.aio.Channel, identity: Identity, receipts: Sequence[LoggedReceipt]) -> None:
    """Has the hub write receipts into its log; one that is there already is not written again.

    Args:
        channel: to the hub.
        identity: of this agent.
        receipts: that may leave the site, at most `MOST_RECEIPTS`.

    Raises:
        SeawallError: the hub refuses, or gives no answer.
    """
    request = pb.RecordReceiptsRequest(receipts=[pb.LoggedReceipt(number=item.number, leaf=item.text) for item in receipts])
    try:
        await audit_pb2_grpc.AuditServiceStub(channel).RecordReceipts(request, timeout=TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError as error:
        raise refusal(error, identity.hub_address) from error


def _message(signed: SignedHead) -> pb.TreeHead:
    head = signed.head
    message = pb.TreeHead(log=head.log, size=head.size, root=head.root, public_key=signed.public_key, signature=signed.signature)
    message.time.FromDatetime(head.time)
    if head.chain is not None:
        message.chain.kept_since.FromDatetime(head.chain.kept_since)
        if (previous := head.chain.previous) is not None:
            message.chain.previous_hash, message.chain.previous_size = previous.hash, previous.size
            message.chain.previous_time.FromDatetime(previous.time)
    return message


def _read(message: pb.TreeHead) -> SignedHead:
    chain = _chain(message.chain) if message.HasField("chain") else None
    head = TreeHead(message.log, message.size, message.root, _time(message.time), chain)
    return SignedHead(head, message.public_key, message.signature)


def _chain(message: pb.HeadChain) -> Chain:
    previous = None
    if message.previous_hash:
        previous = Previous(message.previous_hash, message.previous_size, _time(message.previous_time))
    return Chain(previous, _time(message.kept_since))


def _time(message: Timestamp) -> datetime:
    try:
        return to_millisecond(message.ToDatetime(UTC))
    except (ValueError, OverflowError) as error:
        raise NotAuthenticated(
            Reason.LOG_SIGNATURE_INVALID, "The hub's answer about the log of receipts holds no time: tell its operator."
        ) from error
