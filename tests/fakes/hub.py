"""A real hub in this process, on free ports, with what a test needs to talk to it."""

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from contract.identity import JoinToken, SpiffeId
from hub.clock import Clock, utc_now
from hub.config import Limits, Listeners, ProviderSettings, Settings, TelemetrySettings
from hub.fleet.certificates import CertificateAuthority
from hub.folder import DataFolder, create
from hub.learning.conductor import Gather
from hub.server import Hub
from seawall.hub.v1 import enrollment_pb2, enrollment_pb2_grpc, join_token_pb2, join_token_pb2_grpc

LOOPBACK = Listeners(enrollment="127.0.0.1:0", mtls="127.0.0.1:0", metrics="")


@dataclass(frozen=True)
class Identity:
    """A key and its certificate, PEM."""

    key: bytes
    certificate: bytes


@dataclass(frozen=True)
class RunningHub:
    """Where the hub is, and the keys to it."""

    hub: Hub
    folder: DataFolder
    settings: Settings

    @property
    def enrollment_target(self) -> str:
        return f"127.0.0.1:{self.hub.enrollment_port}"

    @property
    def mtls_target(self) -> str:
        return f"127.0.0.1:{self.hub.mtls_port}"

    @property
    def ca_certificate(self) -> bytes:
        return self.folder.ca.certificate_path.read_bytes()

    @property
    def operator(self) -> Identity:
        return Identity(*self.folder.operator.read())

    @property
    def authority(self) -> CertificateAuthority:
        return self.folder.load_ca(self.settings.trust_domain, utc_now)

    def first_contact_channel(self, **options: Any) -> grpc.aio.Channel:
        """To the enrolment listener, trusting the hub's CA."""
        return grpc.aio.secure_channel(self.enrollment_target, grpc.ssl_channel_credentials(self.ca_certificate), _options(options))

    def channel(self, identity: Identity, **options: Any) -> grpc.aio.Channel:
        """To the mTLS listener."""
        credentials = grpc.ssl_channel_credentials(self.ca_certificate, identity.key, identity.certificate)
        return grpc.aio.secure_channel(self.mtls_target, credentials, _options(options))

    async def join_token(self, ttl: timedelta = timedelta(hours=1)) -> JoinToken:
        """Asks for a token as the operator does."""
        async with self.channel(self.operator) as channel:
            request = join_token_pb2.CreateJoinTokenRequest()
            request.ttl.FromTimedelta(ttl)
            token = await join_token_pb2_grpc.JoinTokenServiceStub(channel).CreateJoinToken(request)
        return JoinToken.parse(token.token)

    async def enroll(self, agent_id: str = "") -> Identity:
        """Enrols an agent as a device does."""
        key = ec.generate_private_key(ec.SECP256R1())
        request = enrollment_pb2.EnrollRequest(
            join_token=(await self.join_token()).credential,
            certificate_request=certificate_request(key),
            agent_id=agent_id,
            request_id=str(uuid.uuid4()),
        )
        async with self.first_contact_channel() as channel:
            response = await enrollment_pb2_grpc.EnrollmentServiceStub(channel).Enroll(request)
        return Identity(key_pem(key), x509.load_der_x509_certificate(response.certificate).public_bytes(serialization.Encoding.PEM))

    def issue(self, role: str, name: str = "somebody", life: timedelta = timedelta(hours=1), trust_domain: str = "") -> Identity:
        """A certificate straight from the CA, for any SPIFFE id and any life."""
        key = ec.generate_private_key(ec.SECP256R1())
        spiffe_id = SpiffeId(trust_domain or self.settings.trust_domain, role, name)
        certificate = self.authority.issue_client(key.public_key(), spiffe_id, life)
        return Identity(key_pem(key), certificate.public_bytes(serialization.Encoding.PEM))


@asynccontextmanager
async def running_hub(
    path: Path,
    providers: Sequence[ProviderSettings] = (),
    *,
    limits: Limits | None = None,
    api_keys: Mapping[str, str] | None = None,
    listeners: Listeners = LOOPBACK,
    clock: Clock = utc_now,
    database_url: str = "",
    telemetry: TelemetrySettings | None = None,
    gather: Gather | None = None,
    **of_the_hub: Any,
) -> AsyncIterator[RunningHub]:
    """Makes a data folder in `path` (or uses the one that is there) and runs a hub on free ports until the block ends.

    What is not named here is given to the settings as it is: `region`, `policy_file`, …
    """
    folder = DataFolder(path)
    create(folder, "seawall.test", [], clock)
    settings = Settings(
        trust_domain="seawall.test",
        database_url=database_url,
        listeners=listeners,
        limits=limits or Limits(stop_seconds=0),
        providers=tuple(providers),
        telemetry=telemetry or TelemetrySettings(),
        **of_the_hub,
    )
    async with Hub(folder, settings, api_keys or {}, clock, gather=gather) as hub:
        yield RunningHub(hub, folder, settings)


def certificate_request(key: Any) -> bytes:
    """A PKCS#10 request, DER."""
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The private key, PKCS#8."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _options(options: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [("grpc.enable_http_proxy", 0), *((f"grpc.{name}", value) for name, value in options.items())]
