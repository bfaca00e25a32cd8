"""seawall.hub.v1.AuditService."""

from typing import Any

import grpc.aio

from contract.errors import InvalidRequest, NotPermitted, Reason
from contract.identity import parse_agent_name
from contract.merkle import MOST_HASHES
from hub.api.identity import CALLER
from hub.api.paging import fitting, page_size, page_token, read_number_token
from hub.audit.messages import entry_message, head_message, read_head, read_time, witness_message
from hub.audit.receipts import ReceiptEntry, read_receipt
from hub.audit.trail import Trail
from hub.audit.witnessing import Claim, Witnessing
from hub.fleet.directory import Directory
from hub.store.audit import Chosen
from seawall.hub.v1 import audit_pb2, audit_pb2_grpc

MOST_RECEIPTS = 50
"""In one call: of the longest leaves, so many are below gRPC's limit of 4 MiB."""

Context = grpc.aio.ServicerContext[Any, Any]


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """Witnesses agents' logs, and shows the hub's own.

    Args:
        witnessing: of agents' logs.
        trail: the hub's own.
        directory: of the agents.
    """

    def __init__(self, witnessing: Witnessing, trail: Trail, directory: Directory) -> None:
        self._witnessing = witnessing
        self._trail = trail
        self._directory = directory

    async def WitnessTreeHead(  # noqa: N802  # the proto's name
        self, request: audit_pb2.WitnessTreeHeadRequest, context: Context
    ) -> audit_pb2.WitnessedTreeHead:
        """See the proto."""
        del context
        caller = CALLER.get()
        if len(request.consistency_proof) > MOST_HASHES:
            raise InvalidRequest(Reason.FIELD_INVALID, f"A consistency proof has at most {MOST_HASHES} hashes.")
        signed = read_head(request.tree_head)
        claim = Claim(caller.name, caller.key_hash, signed, request.first_size, tuple(request.consistency_proof))
        kept, given = await self._witnessing.witness(claim)
        keys = await self._witnessing.hub_keys()
        return audit_pb2.WitnessedTreeHead(tree_head=head_message(kept), witness=witness_message(given), hub_keys=keys)

    async def GetTreeHead(  # noqa: N802  # the proto's name
        self, request: audit_pb2.GetTreeHeadRequest, context: Context
    ) -> audit_pb2.WitnessedTreeHead:
        """See the proto."""
        del context
        caller, agent_id = CALLER.get(), parse_agent_name(request.name)
        if caller.role == "agent" and caller.name != agent_id:
            raise NotPermitted(Reason.ROLE_NOT_ALLOWED, "An agent may ask for its own log alone.")
        await self._directory.get(agent_id)
        last, keys, refused = await self._witnessing.record(agent_id)
        found = audit_pb2.WitnessedTreeHead(hub_keys=keys)
        if last is not None:
            found.tree_head.CopyFrom(head_message(last[0]))
            found.witness.CopyFrom(witness_message(last[1]))
        if caller.role != "agent":
            found.refused.extend(audit_pb2.RefusedTreeHead.FromString(evidence) for evidence in refused)
        return found

    async def RecordReceipts(  # noqa: N802  # the proto's name
        self, request: audit_pb2.RecordReceiptsRequest, context: Context
    ) -> audit_pb2.RecordReceiptsResponse:
        """See the proto."""
        del context
        if not 0 < len(request.receipts) <= MOST_RECEIPTS:
            raise InvalidRequest(Reason.FIELD_INVALID, f"receipts must be 1 to {MOST_RECEIPTS}.")
        agent_id, now = CALLER.get().name, self._trail.clock()
        entries = [read_receipt(ReceiptEntry(now, agent_id, receipt.number, receipt.leaf)) for receipt in request.receipts]
        await self._trail.record(entries)
        return audit_pb2.RecordReceiptsResponse()

    async def ListAuditEntries(  # noqa: N802  # the proto's name
        self, request: audit_pb2.ListAuditEntriesRequest, context: Context
    ) -> audit_pb2.ListAuditEntriesResponse:
        """See the proto."""
        del context
        size, token = page_size(request.page_size), read_number_token(request.page_token)
        after = request.after_number if request.HasField("after_number") else -1
        records = await self._trail.page(_chosen(request), after if token is None else max(after, token), size + 1)
        shown = fitting(entry_message(record) for record in records[:size])
        return audit_pb2.ListAuditEntriesResponse(
            audit_entries=shown,
            next_page_token=page_token(str(shown[-1].number)) if len(records) > len(shown) else "",
        )

    async def GetAuditTreeHead(  # noqa: N802  # the proto's name
        self, request: audit_pb2.GetAuditTreeHeadRequest, context: Context
    ) -> audit_pb2.AuditTreeHead:
        """See the proto."""
        del context
        signed = await self._trail.sign()
        proof = await self._trail.proof(request.first_size, signed.head.size)
        keys = await self._witnessing.hub_keys()
        return audit_pb2.AuditTreeHead(tree_head=head_message(signed), consistency_proof=proof, hub_keys=keys)


def _chosen(request: audit_pb2.ListAuditEntriesRequest) -> Chosen:
    return Chosen(
        parse_agent_name(request.agent) if request.agent else "",
        read_time(request.start_time) if request.HasField("start_time") else None,
        read_time(request.end_time) if request.HasField("end_time") else None,
    )
