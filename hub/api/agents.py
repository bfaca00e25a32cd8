"""seawall.hub.v1.AgentService."""

from collections.abc import Callable
from typing import Any

import grpc.aio

from contract.errors import InvalidRequest, Reason
from contract.identity import AGENT_ID, SpiffeId, agent_name, parse_agent_name
from hub.api.identity import actor
from hub.api.paging import fitting, invalid_page_token, page_size, page_token, read_page_token
from hub.fleet import filters
from hub.fleet.fleet import Fleet
from hub.fleet.messages import timestamp
from hub.store.agents import AgentRecord
from seawall.hub.v1 import agent_pb2, agent_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class AgentServicer(agent_pb2_grpc.AgentServiceServicer):
    """Shows the fleet, and changes it.

    Args:
        fleet: the agents.
        trust_domain: of their SPIFFE ids.
    """

    def __init__(self, fleet: Fleet, trust_domain: str) -> None:
        self._fleet = fleet
        self._trust_domain = trust_domain

    async def GetAgent(self, request: agent_pb2.GetAgentRequest, context: Context) -> agent_pb2.Agent:  # noqa: N802  # the proto's name
        """See the proto."""
        del context
        return self._message(await self._fleet.directory.get(parse_agent_name(request.name)))

    async def ListAgents(  # noqa: N802  # the proto's name
        self, request: agent_pb2.ListAgentsRequest, context: Context
    ) -> agent_pb2.ListAgentsResponse:
        """See the proto."""
        del context
        size = page_size(request.page_size)
        records = await self._fleet.directory.page(_read_token(request.page_token), size + 1, self._chosen(request.filter))
        shown = fitting(self._message(record) for record in records[:size])
        return agent_pb2.ListAgentsResponse(
            agents=shown,
            next_page_token=page_token(records[len(shown) - 1].agent_id) if len(records) > len(shown) else "",
        )

    async def UpdateAgent(self, request: agent_pb2.UpdateAgentRequest, context: Context) -> agent_pb2.Agent:  # noqa: N802  # the proto's name
        """See the proto."""
        del context
        paths, agent = set(request.update_mask.paths), request.agent
        if paths - {"labels", "*"}:
            raise InvalidRequest(Reason.FIELD_INVALID, "Of an agent, labels alone can be changed: let update_mask say labels.")
        labels = dict(agent.labels) if paths or agent.labels else None  # AIP-134: without a mask, what is filled in
        return self._message(await self._fleet.lifecycle.label(parse_agent_name(agent.name), labels, agent.etag, actor(self._trust_domain)))

    async def SuspendAgent(self, request: agent_pb2.SuspendAgentRequest, context: Context) -> agent_pb2.Agent:  # noqa: N802  # the proto's name
        """See the proto."""
        del context
        agent_id = parse_agent_name(request.name)
        return self._message(await self._fleet.lifecycle.suspend(agent_id, actor(self._trust_domain), request.reason))

    async def ResumeAgent(self, request: agent_pb2.ResumeAgentRequest, context: Context) -> agent_pb2.Agent:  # noqa: N802  # the proto's name
        """See the proto."""
        del context
        return self._message(await self._fleet.lifecycle.resume(parse_agent_name(request.name), actor(self._trust_domain)))

    async def RetireAgent(self, request: agent_pb2.RetireAgentRequest, context: Context) -> agent_pb2.Agent:  # noqa: N802  # the proto's name
        """See the proto."""
        del context
        agent_id = parse_agent_name(request.name)
        return self._message(await self._fleet.lifecycle.retire(agent_id, actor(self._trust_domain), request.reason))

    def _chosen(self, text: str) -> Callable[[AgentRecord], bool]:
        wanted = filters.parse(text)
        return lambda record: wanted.matches(self._fields(record))

    def _fields(self, record: AgentRecord) -> dict[str, str]:
        labels = {f"labels.{key}": value for key, value in record.labels.items()}
        connected = "true" if record.replica_id else "false"
        return {
            "name": agent_name(record.agent_id),
            "state": record.state,
            "connected": connected,
            "certificate_issuer": record.certificate_issuer,
        } | labels

    def _message(self, record: AgentRecord) -> agent_pb2.Agent:
        return agent_pb2.Agent(
            name=agent_name(record.agent_id),
            spiffe_id=str(SpiffeId(self._trust_domain, "agent", record.agent_id)),
            create_time=timestamp(record.create_time),
            certificate_expire_time=timestamp(record.certificate_expire_time),
            last_seen_time=timestamp(record.last_seen_time),
            state=agent_pb2.Agent.State.Value(record.state),
            labels=record.labels,
            etag=str(record.revision),
            report=None if record.report is None else agent_pb2.AgentReport.FromString(record.report),
            desired_generation=record.desired_generation,
            applied_generation=record.applied_generation,
            refusal=record.refusal,
            connected=record.replica_id is not None,
            certificate_issuer=record.certificate_issuer,
            key_hash=record.key_hash,
            member_key_hash=record.member_key_hash or "",
        )


def _read_token(token: str) -> str:
    agent_id = read_page_token(token)
    if agent_id and not AGENT_ID.fullmatch(agent_id):
        raise invalid_page_token()
    return agent_id
