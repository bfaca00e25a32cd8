"""The services of the mTLS listener."""

from datetime import timedelta

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from hub.api.agents import AgentServicer
from hub.api.audit import AuditServicer
from hub.api.certificates import RecoveryServicer
from hub.api.commands import CommandServicer
from hub.api.events import EventServicer
from hub.api.groups import GroupServicer
from hub.api.learning import LearningServicer
from hub.api.publishing import PublisherServicer
from hub.api.releases import ReleaseServicer, add_release_servicer
from hub.api.rollouts import RolloutServicer
from hub.api.sessions import SessionServicer
from hub.audit.trail import Trail
from hub.audit.witnessing import Witnessing
from hub.clock import Clock
from hub.config import Settings
from hub.escalation.profile import profile_of
from hub.fleet.authorities import Authorities
from hub.fleet.enrollment import Randomness
from hub.fleet.fleet import Fleet
from hub.fleet.nonces import Nonces
from hub.fleet.renewal import Recovery, Renewal
from hub.learning.rounds import Rounds
from hub.release.blobs import Blobs
from hub.release.publishing import Publishing
from hub.release.repository import Repository
from seawall.hub.v1 import (
    agent_pb2,
    agent_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    certificate_pb2,
    certificate_pb2_grpc,
    command_pb2,
    command_pb2_grpc,
    escalation_pb2,
    event_pb2,
    event_pb2_grpc,
    group_pb2,
    group_pb2_grpc,
    join_token_pb2,
    release_pb2,
    release_pb2_grpc,
    rollout_pb2,
    rollout_pb2_grpc,
    round_pb2,
    round_pb2_grpc,
    session_pb2,
    session_pb2_grpc,
)

_FILES = (
    agent_pb2.DESCRIPTOR,
    audit_pb2.DESCRIPTOR,
    certificate_pb2.DESCRIPTOR,
    command_pb2.DESCRIPTOR,
    escalation_pb2.DESCRIPTOR,
    event_pb2.DESCRIPTOR,
    group_pb2.DESCRIPTOR,
    join_token_pb2.DESCRIPTOR,
    round_pb2.DESCRIPTOR,
    release_pb2.DESCRIPTOR,
    rollout_pb2.DESCRIPTOR,
    session_pb2.DESCRIPTOR,
)


def add_fleet(server: grpc.aio.Server, fleet: Fleet, authorities: Authorities, settings: Settings, clock: Clock) -> None:
    """Adds what agents and operators of the fleet call."""
    domain = settings.trust_domain
    interval = timedelta(seconds=settings.limits.heartbeat_seconds)
    sessions = SessionServicer(fleet, authorities, clock, interval, profile_of(settings))
    session_pb2_grpc.add_SessionServiceServicer_to_server(sessions, server)
    agent_pb2_grpc.add_AgentServiceServicer_to_server(AgentServicer(fleet, domain), server)
    group_pb2_grpc.add_GroupServiceServicer_to_server(GroupServicer(fleet.groups, fleet.quotas, domain), server)
    command_pb2_grpc.add_CommandServiceServicer_to_server(CommandServicer(fleet.commands, domain), server)
    event_pb2_grpc.add_EventServiceServicer_to_server(EventServicer(fleet.journal), server)
    rollout_pb2_grpc.add_RolloutServiceServicer_to_server(RolloutServicer(fleet.rollouts, domain), server)


def add_audit(server: grpc.aio.Server, witnessing: Witnessing, trail: Trail, fleet: Fleet) -> None:
    """Adds the logs: agents', and the hub's own."""
    audit_pb2_grpc.add_AuditServiceServicer_to_server(AuditServicer(witnessing, trail, fleet.directory), server)


def add_releases(server: grpc.aio.Server, repository: Repository, blobs: Blobs, publishing: Publishing, trust_domain: str) -> None:
    """Adds what is distributed, for those who read and those who publish."""
    add_release_servicer(ReleaseServicer(repository, blobs), server)
    release_pb2_grpc.add_PublisherServiceServicer_to_server(PublisherServicer(publishing, blobs, trust_domain), server)


def add_learning(server: grpc.aio.Server, rounds: Rounds, trust_domain: str) -> None:
    """Adds sums over the fleet."""
    round_pb2_grpc.add_LearningServiceServicer_to_server(LearningServicer(rounds, trust_domain), server)


def add_recovery(server: grpc.aio.Server, renewal: Renewal, authorities: Authorities, grace: timedelta, randomness: Randomness) -> None:
    """Adds the way back for agents whose certificate has expired."""
    nonces = Nonces(lambda: authorities.issuer.key, authorities.clock, randomness)
    recovery = RecoveryServicer(nonces, Recovery(renewal, nonces, authorities, grace), authorities)
    certificate_pb2_grpc.add_RecoveryServiceServicer_to_server(recovery, server)


async def add_introspection(server: grpc.aio.Server) -> None:
    """Adds health and reflection: what the services are, and that they serve."""
    names = [service.full_name for file in _FILES for service in file.services_by_name.values() if service.name != "RecoveryService"]
    servicer = health.aio.HealthServicer()
    for name in ["", *names]:
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
