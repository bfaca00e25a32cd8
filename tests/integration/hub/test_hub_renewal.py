"""New certificates: renewal over mTLS, recovery over TLS alone."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from contract.errors import Reason
from hub.clock import utc_now
from hub.config import Limits
from seawall.hub.v1 import agent_pb2, agent_pb2_grpc, certificate_pb2, certificate_pb2_grpc
from tests.fakes.hub import Identity, RunningHub, certificate_request, key_pem, running_hub
from tests.fakes.hub_errors import reason_of
from tests.fakes.hub_session import session

LIMITS = Limits(stop_seconds=0, agent_certificate_days=30, recovery_days=10)


class Clock:
    """The hub's time, which a test moves on. TLS has its own, so that a certificate that must pass it is of another life."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@contextmanager
def refused(reason: Reason, code: grpc.StatusCode) -> Iterator[None]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        yield
    assert (reason_of(raised.value), raised.value.code()) == (reason, code)


@dataclass(frozen=True)
class Old:
    """What an agent has left of its identity, and how it comes back with it."""

    identity: Identity

    async def recover(self, hub: RunningHub, *, nonce: bytes = b"", key: ec.EllipticCurvePrivateKey | None = None) -> Identity:
        new = ec.generate_private_key(ec.SECP256R1())
        request = certificate_request(new)
        async with hub.first_contact_channel() as channel:
            stub = certificate_pb2_grpc.RecoveryServiceStub(channel)
            nonce = nonce or (await stub.CreateRecoveryNonce(certificate_pb2.CreateRecoveryNonceRequest())).nonce
            message = b"seawall-recovery-v1\0" + nonce + hashlib.sha256(request).digest()
            response = await stub.RecoverCertificate(
                certificate_pb2.RecoverCertificateRequest(
                    certificate=x509.load_pem_x509_certificate(self.identity.certificate).public_bytes(serialization.Encoding.DER),
                    nonce=nonce,
                    signature=(key or _key(self.identity)).sign(message, ec.ECDSA(hashes.SHA256())),
                    certificate_request=request,
                )
            )
        return _identity(new, response.certificate)


def _key(identity: Identity) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(identity.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _identity(key: ec.EllipticCurvePrivateKey, certificate: bytes) -> Identity:
    return Identity(key_pem(key), x509.load_der_x509_certificate(certificate).public_bytes(serialization.Encoding.PEM))


async def renew(hub: RunningHub, old: Identity, key: ec.EllipticCurvePrivateKey) -> Identity:
    async with hub.channel(old) as channel:
        request = certificate_pb2.RenewCertificateRequest(certificate_request=certificate_request(key))
        response = await certificate_pb2_grpc.CertificateServiceStub(channel).RenewCertificate(request)
    assert list(response.ca_certificates) == [x509.load_pem_x509_certificate(hub.ca_certificate).public_bytes(serialization.Encoding.DER)]
    return _identity(key, response.certificate)


async def connect(hub: RunningHub, identity: Identity) -> None:
    async with session(hub, identity) as agent:
        await agent.hello()


async def test_the_old_certificate_is_good_until_the_new_one_is_used_and_then_no_more(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub:
        old = await hub.enroll("plant-7")
        new = await renew(hub, old, ec.generate_private_key(ec.SECP256R1()))
        await connect(hub, old)
        await connect(hub, new)
        with refused(Reason.AGENT_NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED):
            await connect(hub, old)


async def test_a_renewal_of_which_nothing_came_back_can_be_asked_again(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub:
        old = await hub.enroll("plant-7")
        key = ec.generate_private_key(ec.SECP256R1())
        for again in (key, key, ec.generate_private_key(ec.SECP256R1())):
            new = await renew(hub, old, again)
        await connect(hub, new)


async def test_an_agent_comes_back_with_its_expired_certificate_within_the_grace_time(tmp_path: Path) -> None:
    clock = Clock()
    async with running_hub(tmp_path, limits=LIMITS, clock=clock) as hub:
        old = await hub.enroll("plant-7")
        clock.ahead = timedelta(days=31)
        with refused(Reason.CERTIFICATE_INVALID, grpc.StatusCode.UNAUTHENTICATED):
            await connect(hub, old)
        new = await Old(old).recover(hub)
        clock.ahead = timedelta(days=32)
        await Old(new).recover(hub)
        with refused(Reason.RECOVERY_REFUSED, grpc.StatusCode.UNAUTHENTICATED):
            await Old(old).recover(hub)


async def test_after_the_grace_time_it_is_too_late(tmp_path: Path) -> None:
    clock = Clock()
    async with running_hub(tmp_path, limits=LIMITS, clock=clock) as hub:
        old = await hub.enroll("plant-7")
        clock.ahead = timedelta(days=41)
        with refused(Reason.RECOVERY_TOO_LATE, grpc.StatusCode.FAILED_PRECONDITION):
            await Old(old).recover(hub)


async def test_a_nonce_is_good_once_and_for_a_minute(tmp_path: Path) -> None:
    clock = Clock()
    async with running_hub(tmp_path, clock=clock) as hub, hub.first_contact_channel() as channel:
        old = Old(await hub.enroll("plant-7"))
        stub = certificate_pb2_grpc.RecoveryServiceStub(channel)
        first = (await stub.CreateRecoveryNonce(certificate_pb2.CreateRecoveryNonceRequest())).nonce
        await old.recover(hub, nonce=first)
        second = (await stub.CreateRecoveryNonce(certificate_pb2.CreateRecoveryNonceRequest())).nonce
        clock.ahead = timedelta(seconds=61)
        for nonce in (first, second, b"made up"):
            with refused(Reason.RECOVERY_REFUSED, grpc.StatusCode.UNAUTHENTICATED):
                await old.recover(hub, nonce=nonce)


async def test_who_does_not_hold_the_key_or_has_another_hubs_certificate_is_refused(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "one") as hub, running_hub(tmp_path / "other") as other:
        thief, foreign, operator = await hub.enroll("plant-7"), await other.enroll("plant-7"), hub.operator
        with refused(Reason.RECOVERY_REFUSED, grpc.StatusCode.UNAUTHENTICATED):
            await Old(thief).recover(hub, key=ec.generate_private_key(ec.SECP256R1()))
        for identity in (foreign, operator):
            with refused(Reason.RECOVERY_REFUSED, grpc.StatusCode.UNAUTHENTICATED):
                await Old(identity).recover(hub)


async def test_a_suspended_agent_does_not_come_back_this_way(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub:
        old = await hub.enroll("plant-7")
        async with hub.channel(hub.operator) as channel:
            await agent_pb2_grpc.AgentServiceStub(channel).SuspendAgent(agent_pb2.SuspendAgentRequest(name="agents/plant-7"))
        with refused(Reason.AGENT_SUSPENDED, grpc.StatusCode.PERMISSION_DENIED):
            await Old(old).recover(hub)


async def test_a_stream_does_not_outlive_its_certificate(tmp_path: Path) -> None:
    clock = Clock()
    async with running_hub(tmp_path, limits=LIMITS, clock=clock) as hub, session(hub, await hub.enroll("plant-7")) as agent:
        await agent.hello()
        assert (await agent.beat(1)).heartbeat.number == 1
        clock.ahead = timedelta(days=31)
        with refused(Reason.CERTIFICATE_INVALID, grpc.StatusCode.UNAUTHENTICATED):
            await agent.beat(2)
