"""Every method of every service, asked by everybody."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from hub.api.roles import ALLOWED_ROLES, ANYONE
from hub.clock import utc_now
from hub.fleet.certificates import create_ca_certificate
from hub.folder import DataFolder, create
from seawall.hub.v1 import (
    agent_pb2,
    audit_pb2,
    certificate_pb2,
    command_pb2,
    enrollment_pb2,
    escalation_pb2,
    event_pb2,
    group_pb2,
    join_token_pb2,
    release_pb2,
    rollout_pb2,
    round_pb2,
    session_pb2,
)
from tests.fakes.hub import Identity, RunningHub, certificate_request, running_hub
from tests.fakes.hub_errors import reason_of

PROMPT = escalation_pb2.EscalatePromptRequest(
    request_id=str(uuid.uuid4()),
    messages=[escalation_pb2.ChatMessage(role=escalation_pb2.MESSAGE_ROLE_USER, content="hi")],
    allowed_providers=[escalation_pb2.ProviderProfile(name="house", tier=escalation_pb2.PROVIDER_TIER_PRIVATE, region="here")],
    data_class=escalation_pb2.DATA_CLASS_PUBLIC,
)

REQUEST_ID = str(uuid.uuid4())
ROLLOUT = "rollouts/june"
PLANT, GROUP, COMMAND = "agents/plant-7", "groups/careful", f"agents/plant-7/commands/{REQUEST_ID}"
DOCTOR = command_pb2.Command(action=command_pb2.Command.RUN_DOCTOR)

REQUESTS: dict[str, Any] = {
    "/seawall.hub.v1.EscalationService/EscalatePrompt": PROMPT,
    "/seawall.hub.v1.JoinTokenService/CreateJoinToken": join_token_pb2.CreateJoinTokenRequest(),
    "/seawall.hub.v1.AgentService/GetAgent": agent_pb2.GetAgentRequest(name="agents/plant-7"),
    "/seawall.hub.v1.AgentService/ListAgents": agent_pb2.ListAgentsRequest(),
    "/seawall.hub.v1.AgentService/UpdateAgent": agent_pb2.UpdateAgentRequest(agent=agent_pb2.Agent(name=PLANT, labels={"site": "oslo"})),
    "/seawall.hub.v1.AgentService/SuspendAgent": agent_pb2.SuspendAgentRequest(name=PLANT),
    "/seawall.hub.v1.AgentService/ResumeAgent": agent_pb2.ResumeAgentRequest(name=PLANT),
    "/seawall.hub.v1.GroupService/CreateGroup": group_pb2.CreateGroupRequest(group_id="careful", request_id=REQUEST_ID),
    "/seawall.hub.v1.GroupService/GetGroup": group_pb2.GetGroupRequest(name=GROUP),
    "/seawall.hub.v1.GroupService/ListGroups": group_pb2.ListGroupsRequest(),
    "/seawall.hub.v1.GroupService/UpdateGroup": group_pb2.UpdateGroupRequest(group=group_pb2.Group(name=GROUP, priority=2)),
    "/seawall.hub.v1.GroupService/DeleteGroup": group_pb2.DeleteGroupRequest(name=GROUP),
    "/seawall.hub.v1.CommandService/CreateCommand": command_pb2.CreateCommandRequest(parent=PLANT, command=DOCTOR, request_id=REQUEST_ID),
    "/seawall.hub.v1.CommandService/GetCommand": command_pb2.GetCommandRequest(name=COMMAND),
    "/seawall.hub.v1.CommandService/ListCommands": command_pb2.ListCommandsRequest(parent="agents/-"),
    "/seawall.hub.v1.CommandService/CancelCommand": command_pb2.CancelCommandRequest(name=COMMAND),
    "/seawall.hub.v1.AgentService/RetireAgent": agent_pb2.RetireAgentRequest(name=PLANT),
    "/seawall.hub.v1.EventService/ListEvents": event_pb2.ListEventsRequest(),
    "/seawall.hub.v1.EventService/WatchEvents": event_pb2.WatchEventsRequest(),
    "/seawall.hub.v1.AuditService/WitnessTreeHead": audit_pb2.WitnessTreeHeadRequest(),
    "/seawall.hub.v1.AuditService/RecordReceipts": audit_pb2.RecordReceiptsRequest(),
    "/seawall.hub.v1.AuditService/GetTreeHead": audit_pb2.GetTreeHeadRequest(name="agents/plant-7"),
    "/seawall.hub.v1.AuditService/ListAuditEntries": audit_pb2.ListAuditEntriesRequest(),
    "/seawall.hub.v1.AuditService/GetAuditTreeHead": audit_pb2.GetAuditTreeHeadRequest(),
    "/seawall.hub.v1.ReleaseService/GetMetadata": release_pb2.GetMetadataRequest(name="timestamp.json"),
    "/seawall.hub.v1.ReleaseService/GetTarget": release_pb2.GetTargetRequest(path="models/x/versions/1.json"),
    "/seawall.hub.v1.ReleaseService/FetchBlobs": release_pb2.FetchBlobsRequest(digests=["none"]),
    "/seawall.hub.v1.PublisherService/ListMissingBlobs": release_pb2.ListMissingBlobsRequest(),
    "/seawall.hub.v1.PublisherService/UploadBlobs": release_pb2.UploadBlobsRequest(digest="none"),
    "/seawall.hub.v1.PublisherService/PublishMetadata": release_pb2.PublishMetadataRequest(role="models"),
    "/seawall.hub.v1.RolloutService/CreateRollout": rollout_pb2.CreateRolloutRequest(
        rollout_id="june",
        rollout=rollout_pb2.Rollout(model_version="models/x/versions/1", waves=[rollout_pb2.Wave()]),
        request_id=REQUEST_ID,
    ),
    "/seawall.hub.v1.RolloutService/GetRollout": rollout_pb2.GetRolloutRequest(name=ROLLOUT),
    "/seawall.hub.v1.RolloutService/ListRollouts": rollout_pb2.ListRolloutsRequest(),
    "/seawall.hub.v1.RolloutService/ListRolloutAgents": rollout_pb2.ListRolloutAgentsRequest(parent=ROLLOUT),
    "/seawall.hub.v1.RolloutService/PauseRollout": rollout_pb2.PauseRolloutRequest(name=ROLLOUT),
    "/seawall.hub.v1.RolloutService/ResumeRollout": rollout_pb2.ResumeRolloutRequest(name=ROLLOUT),
    "/seawall.hub.v1.RolloutService/ApproveRollout": rollout_pb2.ApproveRolloutRequest(name=ROLLOUT),
    "/seawall.hub.v1.RolloutService/CancelRollout": rollout_pb2.CancelRolloutRequest(name=ROLLOUT),
    "/seawall.hub.v1.RolloutService/RollBackRollout": rollout_pb2.RollBackRolloutRequest(name=ROLLOUT),
    "/seawall.hub.v1.RolloutService/WatchRollout": rollout_pb2.WatchRolloutRequest(name=ROLLOUT),
    "/seawall.hub.v1.LearningService/CreateRound": round_pb2.CreateRoundRequest(request_id=REQUEST_ID),
    "/seawall.hub.v1.LearningService/GetRound": round_pb2.GetRoundRequest(name="rounds/2026-w48-0123abcd"),
    "/seawall.hub.v1.LearningService/ListRounds": round_pb2.ListRoundsRequest(),
    "/seawall.hub.v1.LearningService/GetReport": round_pb2.GetReportRequest(name="reports/2026-W48"),
    "/seawall.hub.v1.LearningService/GetSums": round_pb2.GetSumsRequest(name="rounds/2026-w48-0123abcd"),
    "/seawall.hub.v1.SessionService/Connect": session_pb2.ConnectRequest(hello=session_pb2.Hello()),
    "/seawall.hub.v1.CertificateService/RenewCertificate": certificate_pb2.RenewCertificateRequest(
        certificate_request=certificate_request(ec.generate_private_key(ec.SECP256R1()))
    ),
    "/grpc.health.v1.Health/Check": health_pb2.HealthCheckRequest(),
    "/grpc.health.v1.Health/Watch": health_pb2.HealthCheckRequest(),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": reflection_pb2.ServerReflectionRequest(list_services=""),
}
"""On the mTLS listener, in an order in which each can succeed."""

FIRST_CONTACT: dict[str, Any] = {
    "/seawall.hub.v1.EnrollmentService/Enroll": enrollment_pb2.EnrollRequest(request_id=REQUEST_ID),
    "/seawall.hub.v1.RecoveryService/CreateRecoveryNonce": certificate_pb2.CreateRecoveryNonceRequest(),
    "/seawall.hub.v1.RecoveryService/RecoverCertificate": certificate_pb2.RecoverCertificateRequest(),
}
"""On the listener that asks for no certificate."""

MODULES = (
    agent_pb2,
    audit_pb2,
    certificate_pb2,
    command_pb2,
    escalation_pb2,
    event_pb2,
    group_pb2,
    join_token_pb2,
    release_pb2,
    rollout_pb2,
    round_pb2,
    session_pb2,
)

ROLE_TABLE = """
                                                              agent      operator   auditor    publisher  anyone
seawall.hub.v1.EnrollmentService/Enroll                       -          -          -          -          yes
seawall.hub.v1.RecoveryService/CreateRecoveryNonce            -          -          -          -          yes
seawall.hub.v1.RecoveryService/RecoverCertificate             -          -          -          -          yes
seawall.hub.v1.CertificateService/RenewCertificate            yes        -          -          -          -
seawall.hub.v1.SessionService/Connect                         yes        -          -          -          -
seawall.hub.v1.EscalationService/EscalatePrompt               yes        -          -          -          -
seawall.hub.v1.JoinTokenService/CreateJoinToken               -          yes        -          -          -
seawall.hub.v1.AgentService/GetAgent                          -          yes        yes        -          -
seawall.hub.v1.AgentService/ListAgents                        -          yes        yes        -          -
seawall.hub.v1.AgentService/UpdateAgent                       -          yes        -          -          -
seawall.hub.v1.AgentService/SuspendAgent                      -          yes        -          -          -
seawall.hub.v1.AgentService/ResumeAgent                       -          yes        -          -          -
seawall.hub.v1.AgentService/RetireAgent                       -          yes        -          -          -
seawall.hub.v1.GroupService/GetGroup                          -          yes        yes        -          -
seawall.hub.v1.GroupService/ListGroups                        -          yes        yes        -          -
seawall.hub.v1.GroupService/CreateGroup                       -          yes        -          -          -
seawall.hub.v1.GroupService/UpdateGroup                       -          yes        -          -          -
seawall.hub.v1.GroupService/DeleteGroup                       -          yes        -          -          -
seawall.hub.v1.CommandService/CreateCommand                   -          yes        -          -          -
seawall.hub.v1.CommandService/GetCommand                      -          yes        yes        -          -
seawall.hub.v1.CommandService/ListCommands                    -          yes        yes        -          -
seawall.hub.v1.CommandService/CancelCommand                   -          yes        -          -          -
seawall.hub.v1.EventService/WatchEvents                       -          yes        yes        -          -
seawall.hub.v1.EventService/ListEvents                        -          yes        yes        -          -
seawall.hub.v1.AuditService/WitnessTreeHead                   yes        -          -          -          -
seawall.hub.v1.AuditService/RecordReceipts                    yes        -          -          -          -
seawall.hub.v1.AuditService/GetTreeHead                       yes        yes        yes        -          -
seawall.hub.v1.AuditService/ListAuditEntries                  -          yes        yes        -          -
seawall.hub.v1.AuditService/GetAuditTreeHead                  -          yes        yes        -          -
seawall.hub.v1.ReleaseService/GetMetadata                     yes        yes        -          yes        -
seawall.hub.v1.ReleaseService/GetTarget                       yes        yes        -          yes        -
seawall.hub.v1.ReleaseService/FetchBlobs                      yes        yes        -          yes        -
seawall.hub.v1.PublisherService/ListMissingBlobs              -          yes        -          yes        -
seawall.hub.v1.PublisherService/UploadBlobs                   -          yes        -          yes        -
seawall.hub.v1.PublisherService/PublishMetadata               -          yes        -          yes        -
seawall.hub.v1.RolloutService/GetRollout                      -          yes        yes        -          -
seawall.hub.v1.RolloutService/ListRollouts                    -          yes        yes        -          -
seawall.hub.v1.RolloutService/ListRolloutAgents               -          yes        yes        -          -
seawall.hub.v1.RolloutService/CreateRollout                   -          yes        -          -          -
seawall.hub.v1.RolloutService/PauseRollout                    -          yes        -          -          -
seawall.hub.v1.RolloutService/ResumeRollout                   -          yes        -          -          -
seawall.hub.v1.RolloutService/ApproveRollout                  -          yes        -          -          -
seawall.hub.v1.RolloutService/CancelRollout                   -          yes        -          -          -
seawall.hub.v1.RolloutService/RollBackRollout                 -          yes        -          -          -
seawall.hub.v1.RolloutService/WatchRollout                    -          yes        yes        -          -
seawall.hub.v1.LearningService/GetRound                       -          yes        yes        -          -
seawall.hub.v1.LearningService/ListRounds                     -          yes        yes        -          -
seawall.hub.v1.LearningService/GetReport                      -          yes        yes        -          -
seawall.hub.v1.LearningService/GetSums                        -          yes        yes        -          -
seawall.hub.v1.LearningService/CreateRound                    -          yes        -          -          -
grpc.health.v1.Health/Check                                   yes        yes        yes        yes        -
grpc.health.v1.Health/Watch                                   yes        yes        yes        yes        -
grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo yes        yes        yes        yes        -
"""
"""Who may call what."""

STREAMS = {"EscalatePrompt", "FetchBlobs", "Watch", "WatchEvents", "WatchRollout"}
ROLES = ("agent", "operator", "auditor", "publisher")

ANSWERED = {
    "",
    "COMMAND_NOT_FOUND",
    "FIELD_INVALID",
    "GROUP_NOT_FOUND",
    "LEARNING_OFF",
    "NO_PROVIDER_ALLOWED",
    "RELEASE_INVALID",
    "RELEASE_NOT_FOUND",
    "ROLLOUT_NOT_FOUND",
    "ROUND_NOT_FOUND",
}
"""What a permitted call comes to here: no provider is configured, nothing was published, rolled out or logged, and who only reads finds no
group or command."""


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub") as running:
        yield running


async def call(channel: grpc.aio.Channel, method: str, request: Any) -> tuple[grpc.StatusCode, str]:
    """Calls a method, whatever its kind. Returns the code and the reason."""
    name = method.rpartition("/")[2]
    encode = type(request).SerializeToString
    try:
        if name in ("ServerReflectionInfo", "Connect", "UploadBlobs"):
            both: Any = channel.stream_stream(method, request_serializer=encode)
            assert await anext(aiter(both(iter([request]), timeout=20)))
        elif name in STREAMS:
            assert await anext(aiter(channel.unary_stream(method, request_serializer=encode)(request, timeout=20)))
        else:
            await channel.unary_unary(method, request_serializer=encode)(request, timeout=20)
    except grpc.aio.AioRpcError as error:
        return error.code(), reason_of(error)
    return grpc.StatusCode.OK, ""


def table() -> dict[str, frozenset[str]]:
    """Who may call each method, by ROLE_TABLE."""
    heads, *rows = [line.split() for line in ROLE_TABLE.strip().splitlines()]
    return {f"/{row[0]}": frozenset(role for role, may in zip(heads, row[1:], strict=True) if may == "yes") for row in rows}


def served() -> set[str]:
    """Every method of every service that either listener has."""
    ours = [file.DESCRIPTOR for file in (*MODULES, enrollment_pb2)]
    files = [*ours, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR]
    services = [service for file in files for service in file.services_by_name.values()]
    return {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}


def test_every_method_of_every_service_is_in_the_table() -> None:
    assert set(table()) == served()
    assert set(REQUESTS) | set(FIRST_CONTACT) == served()
    protos = {path.stem for path in Path("protos/seawall/hub/v1").glob("*.proto")}
    assert protos == {file.DESCRIPTOR.name.split("/")[-1].removesuffix(".proto") for file in (*MODULES, enrollment_pb2)}


def test_the_hubs_own_table_says_the_same() -> None:
    assert {method: roles for method, roles in table().items() if roles} == ALLOWED_ROLES


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_may_call_what_the_table_says_and_nothing_else(hub: RunningHub, role: str) -> None:
    enrolled = await hub.enroll("plant-7")
    async with hub.channel(enrolled if role == "agent" else hub.issue(role)) as channel:
        for method, request in (REQUESTS | FIRST_CONTACT).items():
            code, reason = await call(channel, method, request)
            if role in table()[method]:
                assert reason in ANSWERED, (method, code, reason)
                assert reason or code is grpc.StatusCode.OK, (method, code)
            elif method in FIRST_CONTACT:
                assert code is grpc.StatusCode.UNIMPLEMENTED, method
            else:
                assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED"), method


async def test_who_has_no_certificate_may_call_what_the_table_says_and_nothing_else(hub: RunningHub) -> None:
    without = grpc.ssl_channel_credentials(hub.ca_certificate)
    async with hub.first_contact_channel() as first_contact, grpc.aio.secure_channel(hub.mtls_target, without) as mtls:
        for method, request in (REQUESTS | FIRST_CONTACT).items():
            code, reason = await call(first_contact, method, request)
            if ANYONE in table()[method]:
                assert reason in {"JOIN_TOKEN_INVALID", "RECOVERY_REFUSED", ""}, (method, code)
                assert reason or code is grpc.StatusCode.OK, (method, code)
            else:
                assert code is grpc.StatusCode.UNIMPLEMENTED, method
            assert await call(mtls, method, request) == (grpc.StatusCode.UNAVAILABLE, "")


async def refused(channel: grpc.aio.Channel) -> set[tuple[grpc.StatusCode, str]]:
    return {await call(channel, method, request) for method, request in REQUESTS.items()}


async def test_without_tls_nobody_gets_in(hub: RunningHub) -> None:
    for target in (hub.mtls_target, hub.enrollment_target):
        async with grpc.aio.insecure_channel(target) as channel:
            assert await refused(channel) == {(grpc.StatusCode.UNAVAILABLE, "")}


async def test_a_certificate_of_another_ca_is_hung_up_on(hub: RunningHub, tmp_path: Path) -> None:
    other = DataFolder(tmp_path / "other")
    create(other, hub.settings.trust_domain, [], utc_now)
    async with hub.channel(Identity(*other.operator.read())) as channel:
        assert await refused(channel) == {(grpc.StatusCode.UNAVAILABLE, "")}


async def test_a_ca_that_merely_has_the_same_name_is_hung_up_on(hub: RunningHub, tmp_path: Path) -> None:
    other = DataFolder(tmp_path / "other")
    create(other, hub.settings.trust_domain, [], utc_now)
    assert create_ca_certificate(other.load_ca(hub.settings.trust_domain, utc_now).key, hub.settings.trust_domain, utc_now()).subject == (
        hub.authority.certificate.subject
    )
    forged = Identity(other.operator.key_path.read_bytes(), other.operator.certificate_path.read_bytes() + hub.ca_certificate)
    async with hub.channel(forged) as channel:
        assert await refused(channel) == {(grpc.StatusCode.UNAVAILABLE, "")}


async def test_an_expired_certificate_is_hung_up_on(hub: RunningHub) -> None:
    async with hub.channel(hub.issue("operator", life=timedelta(seconds=-1))) as channel:
        assert await refused(channel) == {(grpc.StatusCode.UNAVAILABLE, "")}


async def test_the_servers_own_certificate_is_no_clients(hub: RunningHub) -> None:
    async with hub.channel(Identity(*hub.folder.server.read())) as channel:
        codes = {code for code, _ in await refused(channel)}
    assert codes <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED}


@pytest.mark.parametrize("wrong", ["trust domain", "role", "name"])
async def test_a_certificate_of_our_ca_with_a_wrong_spiffe_id_is_nobody(hub: RunningHub, wrong: str) -> None:
    identity = {
        "trust domain": lambda: hub.issue("operator", trust_domain="other.test"),
        "role": lambda: hub.issue("emperor"),
        "name": lambda: hub.issue("operator", "Not A Name"),
    }[wrong]()
    async with hub.channel(identity) as channel:
        assert await refused(channel) == {(grpc.StatusCode.UNAUTHENTICATED, "CERTIFICATE_INVALID")}


async def test_an_agent_of_our_ca_that_was_never_enrolled_is_refused(hub: RunningHub) -> None:
    async with hub.channel(hub.issue("agent", "stranger")) as channel:
        assert await call(channel, "/seawall.hub.v1.EscalationService/EscalatePrompt", PROMPT) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "AGENT_NOT_FOUND",
        )


async def test_another_key_with_an_enrolled_agents_name_is_refused(hub: RunningHub) -> None:
    await hub.enroll("plant-7")
    async with hub.channel(hub.issue("agent", "plant-7")) as channel:
        assert await call(channel, "/seawall.hub.v1.EscalationService/EscalatePrompt", PROMPT) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "AGENT_NOT_FOUND",
        )


async def test_the_mtls_listener_serves_no_enrolment_and_nothing_unknown(hub: RunningHub) -> None:
    async with hub.channel(hub.operator) as channel:
        for method in (
            "/seawall.hub.v1.EnrollmentService/Enroll",
            "/seawall.hub.v1.AgentService/DropAgents",
            "/grpc.health.v1.Health/Nope",
        ):
            code, _ = await call(channel, method, agent_pb2.GetAgentRequest())
            assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_reflection_names_every_service_of_the_listener(hub: RunningHub) -> None:
    method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    async with hub.channel(hub.operator) as channel:
        reflect = channel.stream_stream(
            method,
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        response = await anext(aiter(reflect(iter([REQUESTS[method]]))))
    assert {service.name for service in response.list_services_response.service} == {
        method.split("/")[1] for method, roles in ALLOWED_ROLES.items() if ANYONE not in roles
    }


async def test_a_caller_is_not_taken_for_the_one_before(hub: RunningHub) -> None:
    """Many calls of two roles at once: each is judged by its own certificate."""
    agent = await hub.enroll("plant-7")
    method = "/seawall.hub.v1.AgentService/ListAgents"
    async with hub.channel(agent) as by_agent, hub.channel(hub.operator) as by_operator:
        results = await asyncio.gather(*(call((by_agent, by_operator)[number % 2], method, REQUESTS[method]) for number in range(40)))
    assert set(results[0::2]) == {(grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED")}
    assert set(results[1::2]) == {(grpc.StatusCode.OK, "")}
