"""Heads and entries, as the wire has them."""

import json
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from contract.classification import DataClass
from contract.errors import InvalidRequest, Reason, SeawallError
from contract.identity import agent_name
from contract.merkle import HASH_BYTES
from contract.tree_heads import Chain, Previous, SignedHead, TreeHead, Witness, to_millisecond
from hub.fleet.messages import timestamp
from hub.store.audit import EntryRecord
from seawall.hub.v1 import audit_pb2, escalation_pb2

DAMAGED = "DAMAGED"
"""The outcome of an entry that cannot be read."""

ON_SITE = "ON_SITE"
"""The outcome of an entry that is no escalation: a prompt that was answered where it was asked."""

_TIERS = {"private": escalation_pb2.PROVIDER_TIER_PRIVATE, "public": escalation_pb2.PROVIDER_TIER_PUBLIC}


def head_message(signed: SignedHead) -> audit_pb2.TreeHead:
    """Returns a head's message."""
    head = signed.head
    return audit_pb2.TreeHead(
        log=head.log,
        size=head.size,
        root=head.root,
        time=timestamp(head.time),
        public_key=signed.public_key,
        signature=signed.signature,
        chain=None if head.chain is None else _chain_message(head.chain),
    )


def _chain_message(chain: Chain) -> audit_pb2.HeadChain:
    previous = chain.previous
    if previous is None:
        return audit_pb2.HeadChain(kept_since=timestamp(chain.kept_since))
    return audit_pb2.HeadChain(
        previous_hash=previous.hash,
        previous_size=previous.size,
        previous_time=timestamp(previous.time),
        kept_since=timestamp(chain.kept_since),
    )


def witness_message(witness: Witness) -> audit_pb2.TreeHeadWitness:
    """Returns a witness's message."""
    return audit_pb2.TreeHeadWitness(time=timestamp(witness.time), public_key=witness.public_key, signature=witness.signature)


def refused_message(refused: audit_pb2.TreeHead, witnessed: audit_pb2.TreeHead, now: datetime, reason: str) -> audit_pb2.RefusedTreeHead:
    """Returns what is kept of a head that does not fit."""
    return audit_pb2.RefusedTreeHead(tree_head=refused, witnessed=witnessed, time=timestamp(now), reason=reason)


def read_head(message: audit_pb2.TreeHead) -> SignedHead:
    """Reads a head.

    Raises:
        InvalidRequest: FIELD_INVALID.
    """
    if len(message.root) != HASH_BYTES:
        raise InvalidRequest(Reason.FIELD_INVALID, f"A tree's root has {HASH_BYTES} bytes.")
    chain = _read_chain(message.chain) if message.HasField("chain") else None
    head = TreeHead(message.log, message.size, message.root, to_millisecond(read_time(message.time)), chain)
    return SignedHead(head, message.public_key, message.signature)


def _read_chain(message: audit_pb2.HeadChain) -> Chain:
    kept_since = to_millisecond(read_time(message.kept_since))
    if not message.previous_hash:
        return Chain(None, kept_since)
    if len(message.previous_hash) != HASH_BYTES:
        raise InvalidRequest(Reason.FIELD_INVALID, f"A head's hash has {HASH_BYTES} bytes.")
    return Chain(Previous(message.previous_hash, message.previous_size, to_millisecond(read_time(message.previous_time))), kept_since)


def read_time(message: Timestamp) -> datetime:
    """Reads a time.

    Raises:
        InvalidRequest: FIELD_INVALID.
    """
    try:
        return message.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(
            Reason.FIELD_INVALID, "A time in the request is none: give seconds since 1970, before the year 10000."
        ) from error


def entry_message(record: EntryRecord) -> audit_pb2.AuditEntry:
    """Returns an entry's message. Of one that was tampered with so that it cannot be read, its place and text."""
    message = audit_pb2.AuditEntry(number=record.number, create_time=timestamp(record.create_time), leaf=record.leaf)
    try:
        fields = json.loads(record.leaf)
        message.MergeFrom(receipt_message(fields) if "receipt" in fields else _escalation_message(fields))
    except (ValueError, KeyError, TypeError, SeawallError):
        message.outcome = DAMAGED
    return message


def receipt_message(fields: dict[str, Any]) -> audit_pb2.AuditEntry:
    """Returns what is told of a receipt that was recorded.

    Args:
        fields: of the leaf.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    receipt = fields["receipt"]
    return audit_pb2.AuditEntry(
        agent=agent_name(fields["agent"]),
        request_id=receipt["receipt_id"],
        data_class=escalation_pb2.DataClass.ValueType(int(DataClass[receipt["data_class"].upper()])),
        data_kinds=receipt["data_kinds"],
        policy_ids=receipt["reasons"],
        model=receipt["model"],
        input_tokens=receipt["input_tokens"],
        output_tokens=receipt["output_tokens"],
        outcome=ON_SITE,
        receipt_number=fields["receipt_number"],
    )


def _escalation_message(fields: dict[str, Any]) -> audit_pb2.AuditEntry:
    return audit_pb2.AuditEntry(
        agent=agent_name(fields["agent"]),
        request_id=fields["request_id"],
        data_class=escalation_pb2.DataClass.ValueType(int(DataClass[fields["data_class"].upper()])),
        data_kinds=fields["data_kinds"],
        policy_ids=fields["policy_ids"],
        redacted=fields["redacted"],
        provider=fields["provider"],
        tier=_TIERS.get(fields["tier"], escalation_pb2.PROVIDER_TIER_UNSPECIFIED),
        region=fields["region"],
        model=fields["model"],
        input_tokens=fields["input_tokens"],
        output_tokens=fields["output_tokens"],
        cost_micros=fields["cost_micros"],
        currency=fields["currency"],
        outcome=fields["outcome"],
    )
