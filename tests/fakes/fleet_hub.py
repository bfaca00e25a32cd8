"""The hub's side of a session and of certificates: a real gRPC server over real mTLS that fails as it is told to."""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from agent.identity.files import Identity
from contract.errors import ERROR_DOMAIN, Reason
from contract.identity import SpiffeId
from hub.clock import utc_now
from hub.fleet.certificates import CertificateAuthority, create_ca_certificate, read_certificate_request
from seawall.hub.v1 import (
    certificate_pb2,
    certificate_pb2_grpc,
    command_pb2,
    escalation_pb2,
    escalation_pb2_grpc,
    group_pb2,
    rollout_pb2,
    session_pb2,
    session_pb2_grpc,
)
from tests.fakes.hub import key_pem

TRUST_DOMAIN = "seawall.test"
REPEATED = ("command", "desired_release", "desired_state", "heartbeat")
ENDED = (command_pb2.Command.SUCCEEDED, command_pb2.Command.FAILED)


@dataclass
class Faults:
    """What goes wrong from now on.

    Args:
        refusal: every call gets this reason.
        duplicates: what is wanted, told and answered to heartbeats is sent twice.
        cut_after: a stream breaks after so many messages of the hub.
        lost_acknowledgements: so many acknowledgements are never sent.
        is_mute: heartbeats are not answered.
        foreign_certificates: those that are issued are of another agent.
        lost_certificates: so many are issued whose answer never arrives.
        hub_seconds: what it takes for the time; 0: it knows the time.
    """

    refusal: Reason | None = None
    duplicates: bool = False
    cut_after: int | None = None
    lost_acknowledgements: int = 0
    is_mute: bool = False
    foreign_certificates: bool = False
    lost_certificates: int = 0
    hub_seconds: int = 0


class FakeFleetHub(session_pb2_grpc.SessionServiceServicer):
    """One agent's hub.

    Args:
        agent_id: whose.
        heartbeat_seconds: the interval that Welcome gives.
    """

    def __init__(self, agent_id: str = "plant-7", heartbeat_seconds: float = 0.1) -> None:
        self.agent = f"agents/{agent_id}"
        self.heartbeat_seconds = heartbeat_seconds
        self.faults = Faults()
        self.hellos: list[session_pb2.Hello] = []
        self.heartbeats = 0
        self.generation = self.applied_generation = 0
        self.configuration = group_pb2.Configuration()
        self.refusal = ""
        self.commands: dict[str, command_pb2.Command] = {}
        self.outcomes: list[session_pb2.CommandOutcome] = []
        self.desired_release: rollout_pb2.DesiredRelease | None = None
        self.releases: list[rollout_pb2.ReleaseReport] = []
        self._numbers = itertools.count(1)
        self._streams: list[asyncio.Queue[session_pb2.ConnectResponse | Reason]] = []

    async def want(self, configuration: group_pb2.Configuration) -> int:
        self.configuration, self.generation = configuration, self.generation + 1
        self.send(self._desired())
        return self.generation

    async def roll_out(self, wanted: rollout_pb2.DesiredRelease) -> None:
        self.desired_release = wanted
        self.send(session_pb2.ConnectResponse(desired_release=wanted))

    def released(self, rollout: str) -> rollout_pb2.ReleaseReport:
        """What the agent said of a rollout last."""
        return next((report for report in reversed(self.releases) if report.rollout == rollout), rollout_pb2.ReleaseReport())

    async def applied(self) -> tuple[int, str]:
        return self.applied_generation, self.refusal

    async def tell(self, action: command_pb2.Command.Action.ValueType, log_lines: int = 0, ttl: timedelta = timedelta(hours=1)) -> str:
        name = f"{self.agent}/commands/c{next(self._numbers)}"
        command = command_pb2.Command(name=name, action=action, log_lines=log_lines, state=command_pb2.Command.PENDING)
        command.expire_time.FromDatetime(utc_now() + ttl)
        self.commands[name] = command
        self.send(session_pb2.ConnectResponse(command=command))
        return name

    async def command(self, name: str) -> command_pb2.Command:
        return self.commands[name]

    async def suspend(self) -> None:
        self.faults.refusal = Reason.AGENT_SUSPENDED
        self.end_streams(Reason.AGENT_SUSPENDED)

    def end_streams(self, reason: Reason) -> None:
        for stream in self._streams:
            stream.put_nowait(reason)

    async def resume(self) -> None:
        self.faults.refusal = None

    async def Connect(self, request_iterator: Any, context: Any) -> AsyncIterator[session_pb2.ConnectResponse]:  # noqa: N802 - gRPC's name
        await refuse(context, self.faults.refusal)
        self.hellos.append((await anext(request_iterator)).hello)
        stream: asyncio.Queue[session_pb2.ConnectResponse | Reason] = asyncio.Queue()
        self._greet(stream)
        self._streams.append(stream)
        reader = asyncio.create_task(self._read(request_iterator, stream))
        try:
            for sent in itertools.count():
                message = await stream.get()
                if isinstance(message, Reason):
                    await refuse(context, message)
                elif sent == self.faults.cut_after:
                    return
                else:
                    yield message
                    if self.faults.duplicates and message.WhichOneof("message") in REPEATED:
                        yield message
        finally:
            reader.cancel()
            self._streams.remove(stream)

    def _greet(self, stream: "asyncio.Queue[session_pb2.ConnectResponse | Reason]") -> None:
        welcome = session_pb2.Welcome()
        welcome.heartbeat_interval.FromTimedelta(timedelta(seconds=self.heartbeat_seconds))
        welcome.hub_time.seconds = self.faults.hub_seconds or int(utc_now().timestamp())
        stream.put_nowait(session_pb2.ConnectResponse(welcome=welcome))
        if self.hellos[-1].applied_generation != self.generation:
            stream.put_nowait(self._desired())
        if self.desired_release is not None:
            stream.put_nowait(session_pb2.ConnectResponse(desired_release=self.desired_release))
        for command in self.commands.values():
            if command.state == command_pb2.Command.PENDING:
                stream.put_nowait(session_pb2.ConnectResponse(command=command))

    async def _read(self, requests: Any, stream: "asyncio.Queue[session_pb2.ConnectResponse | Reason]") -> None:
        async for request in requests:
            match request.WhichOneof("message"):
                case "heartbeat":
                    self.heartbeats += 1
                    if not self.faults.is_mute:
                        reply = session_pb2.HeartbeatReply(number=request.heartbeat.number)
                        stream.put_nowait(session_pb2.ConnectResponse(heartbeat=reply))
                case "configuration":
                    self.refusal = request.configuration.refusal
                    if not self.refusal:
                        self.applied_generation = request.configuration.generation
                case "release":
                    self.releases.append(request.release)
                case "command":
                    self._outcome(request.command, stream)

    def _outcome(self, outcome: session_pb2.CommandOutcome, stream: "asyncio.Queue[session_pb2.ConnectResponse | Reason]") -> None:
        if self.faults.lost_acknowledgements:
            self.faults.lost_acknowledgements -= 1
            return
        self.outcomes.append(outcome)
        command = self.commands[outcome.name]
        if command.state not in ENDED:
            command.state, command.output, command.error = outcome.state, outcome.output, outcome.error
        received = session_pb2.OutcomeReceived(command=outcome.name)
        stream.put_nowait(session_pb2.ConnectResponse(outcome_received=received))

    def _desired(self) -> session_pb2.ConnectResponse:
        state = session_pb2.DesiredState(generation=self.generation, configuration=self.configuration)
        return session_pb2.ConnectResponse(desired_state=state)

    def send(self, message: session_pb2.ConnectResponse) -> None:
        for stream in self._streams:
            stream.put_nowait(message)


class FakeCertificates(certificate_pb2_grpc.CertificateServiceServicer, certificate_pb2_grpc.RecoveryServiceServicer):
    """Issues certificates of a real CA."""

    def __init__(self, hub: FakeFleetHub, authority: CertificateAuthority, life: timedelta) -> None:
        self._hub = hub
        self._authority = authority
        self._life = life
        self.nonces: set[bytes] = set()
        self.trusted = [der(authority.certificate)]
        self.issued: list[x509.Certificate] = []

    def issue(self, key: ec.EllipticCurvePublicKey, life: timedelta | None = None) -> x509.Certificate:
        name = "another" if self._hub.faults.foreign_certificates else self._hub.agent.removeprefix("agents/")
        certificate = self._authority.issue_client(key, SpiffeId(TRUST_DOMAIN, "agent", name), life or self._life)
        self.issued.append(certificate)
        return certificate

    async def RenewCertificate(self, request: certificate_pb2.RenewCertificateRequest, context: Any) -> Any:  # noqa: N802 - gRPC's name
        await refuse(context, self._hub.faults.refusal)
        certificate = self.issue(read_certificate_request(request.certificate_request))
        await self._lose(context)
        return certificate_pb2.RenewCertificateResponse(certificate=der(certificate), ca_certificates=self.trusted)

    async def CreateRecoveryNonce(self, request: certificate_pb2.CreateRecoveryNonceRequest, context: Any) -> Any:  # noqa: N802 - gRPC's name
        nonce = f"nonce {len(self.nonces)}".encode()
        self.nonces.add(nonce)
        return certificate_pb2.CreateRecoveryNonceResponse(nonce=nonce)

    async def RecoverCertificate(self, request: certificate_pb2.RecoverCertificateRequest, context: Any) -> Any:  # noqa: N802 - gRPC's name
        await refuse(context, self._hub.faults.refusal)
        old = x509.load_der_x509_certificate(request.certificate).public_key()
        signed = b"seawall-recovery-v1\x00" + request.nonce + hashlib.sha256(request.certificate_request).digest()
        assert isinstance(old, ec.EllipticCurvePublicKey)
        try:
            old.verify(request.signature, signed, ec.ECDSA(hashes.SHA256()))
            self.nonces.remove(request.nonce)
        except (InvalidSignature, KeyError):
            await refuse(context, Reason.RECOVERY_REFUSED)
        certificate = self.issue(read_certificate_request(request.certificate_request))
        return certificate_pb2.RecoverCertificateResponse(certificate=der(certificate), ca_certificates=self.trusted)

    async def _lose(self, context: Any) -> None:
        if self._hub.faults.lost_certificates:
            self._hub.faults.lost_certificates -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection breaks")


class FakeEscalations(escalation_pb2_grpc.EscalationServiceServicer):
    """Answers in two pieces; the second waits until it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def EscalatePrompt(  # noqa: N802 - gRPC's name
        self, request: escalation_pb2.EscalatePromptRequest, context: Any
    ) -> AsyncIterator[escalation_pb2.EscalatePromptResponse]:
        yield escalation_pb2.EscalatePromptResponse(text_delta="half")
        await self.released.wait()
        yield escalation_pb2.EscalatePromptResponse(text_delta=" of it")
        yield escalation_pb2.EscalatePromptResponse(completion=escalation_pb2.EscalatePromptResponse.Completion(model="big-model"))


@dataclass
class RunningFakeHub:
    """Where it is, and the keys to it."""

    hub: FakeFleetHub
    certificates: FakeCertificates
    escalations: FakeEscalations
    authority: CertificateAuthority
    port: int
    enrollment_port: int

    def identity(self, life: timedelta = timedelta(days=90)) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.certificates.issue(key.public_key(), life)
        return Identity(
            self.hub.agent.removeprefix("agents/"),
            TRUST_DOMAIN,
            f"127.0.0.1:{self.port}",
            key_pem(key),
            certificate.public_bytes(Encoding.PEM),
            self.authority.certificate.public_bytes(Encoding.PEM),
            f"127.0.0.1:{self.enrollment_port}",
        )


@asynccontextmanager
async def fake_fleet_hub(hub: FakeFleetHub | None = None, life: timedelta = timedelta(days=90)) -> AsyncIterator[RunningFakeHub]:
    """Serves a hub on two free ports until the block ends: one with mTLS, one for those without a good certificate."""
    key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = create_ca_certificate(key, TRUST_DOMAIN, utc_now())
    authority = CertificateAuthority(key, ca, TRUST_DOMAIN, utc_now)
    chain = authority.issue_server(server_key.public_key(), ["127.0.0.1"]).public_bytes(Encoding.PEM)
    ca_pem = ca.public_bytes(Encoding.PEM)
    served = hub or FakeFleetHub()
    certificates = FakeCertificates(served, authority, life)
    escalations = FakeEscalations()
    mtls, plain = grpc.aio.server(), grpc.aio.server()
    escalation_pb2_grpc.add_EscalationServiceServicer_to_server(escalations, mtls)
    session_pb2_grpc.add_SessionServiceServicer_to_server(served, mtls)
    certificate_pb2_grpc.add_CertificateServiceServicer_to_server(certificates, mtls)
    certificate_pb2_grpc.add_RecoveryServiceServicer_to_server(certificates, plain)
    pairs = [(key_pem(server_key), chain)]
    port = mtls.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(pairs, ca_pem, True))
    enrollment_port = plain.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(pairs))
    await mtls.start()
    await plain.start()
    try:
        yield RunningFakeHub(served, certificates, escalations, authority, port, enrollment_port)
    finally:
        await mtls.stop(0)
        await plain.stop(0)


async def refuse(context: Any, reason: Reason | None) -> None:
    """Ends a call with a reason, as the hub does; None: lets it pass."""
    if reason is None:
        return
    message = f"refused: {reason}"
    detail = AnyMessage()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=ERROR_DOMAIN))
    status = status_pb2.Status(code=grpc.StatusCode.PERMISSION_DENIED.value[0], message=message, details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    await context.abort(grpc.StatusCode.PERMISSION_DENIED, message)


def der(certificate: x509.Certificate) -> bytes:
    """A certificate's bytes."""
    return certificate.public_bytes(Encoding.DER)
