"""Enrolment over TLS, as a device does it: first contact, and everything that can be wrong with it."""

import asyncio
import socket
import ssl
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.identity import JoinToken
from hub.fleet.certificates import public_key_der, spiffe_uris
from seawall.hub.v1 import agent_pb2, agent_pb2_grpc, enrollment_pb2, enrollment_pb2_grpc
from tests.fakes.hub import RunningHub, certificate_request, running_hub
from tests.fakes.hub_errors import reason_of

CSR = certificate_request(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub") as running:
        yield running


def request(token: JoinToken, **fields: Any) -> enrollment_pb2.EnrollRequest:
    defaults = {"join_token": token.credential, "certificate_request": CSR, "request_id": str(uuid.uuid4())}
    return enrollment_pb2.EnrollRequest(**{**defaults, **fields})


async def enroll(channel: grpc.aio.Channel, wanted: enrollment_pb2.EnrollRequest) -> enrollment_pb2.EnrollResponse:
    return await enrollment_pb2_grpc.EnrollmentServiceStub(channel).Enroll(wanted, timeout=20)


async def outcome(channel: grpc.aio.Channel, wanted: enrollment_pb2.EnrollRequest) -> tuple[grpc.StatusCode, str]:
    try:
        await enroll(channel, wanted)
    except grpc.aio.AioRpcError as error:
        return error.code(), reason_of(error)
    return grpc.StatusCode.OK, ""


def shown_chain(port: int) -> list[bytes]:
    """What a device that trusts nobody yet sees of the hub: its certificates, DER."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10)) as connection:
        chain: Any = connection._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # public from Python 3.13 on
        return [item if isinstance(item, bytes) else ssl.PEM_cert_to_DER_cert(item.public_bytes()) for item in chain]


async def test_first_contact_shows_the_ca_that_the_token_pins(hub: RunningHub) -> None:
    token = await hub.join_token()
    chain = await asyncio.to_thread(shown_chain, hub.hub.enrollment_port)
    trusted = [der for der in chain if token.trusts(public_key_der(x509.load_der_x509_certificate(der).public_key()))]
    assert [x509.load_der_x509_certificate(der) for der in trusted] == [x509.load_pem_x509_certificate(hub.ca_certificate)]


async def test_a_device_gets_what_it_needs(hub: RunningHub) -> None:
    async with hub.first_contact_channel() as channel:
        response = await enroll(channel, request(await hub.join_token(), agent_id="plant-7"))
    assert response.agent == "agents/plant-7"
    assert response.trust_domain == "seawall.test"
    assert x509.load_der_x509_certificate(response.ca_certificate) == x509.load_pem_x509_certificate(hub.ca_certificate)
    certificate = x509.load_der_x509_certificate(response.certificate)
    certificate.verify_directly_issued_by(x509.load_der_x509_certificate(response.ca_certificate))
    assert spiffe_uris(certificate) == ["spiffe://seawall.test/agents/plant-7"]


async def test_a_retry_gets_the_same_answer(hub: RunningHub) -> None:
    wanted = request(await hub.join_token())
    async with hub.first_contact_channel() as channel:
        assert await enroll(channel, wanted) == await enroll(channel, wanted)


async def test_two_at_once_with_one_token_one_wins(hub: RunningHub) -> None:
    token = await hub.join_token()
    async with hub.first_contact_channel() as channel:
        results = await asyncio.gather(*(outcome(channel, request(token, agent_id=f"plant-{number}")) for number in range(8)))
    assert sorted(results, key=str) == sorted(
        [(grpc.StatusCode.OK, ""), *[(grpc.StatusCode.UNAUTHENTICATED, "JOIN_TOKEN_USED")] * 7], key=str
    )
    async with hub.channel(hub.operator) as channel:
        listed = await agent_pb2_grpc.AgentServiceStub(channel).ListAgents(agent_pb2.ListAgentsRequest())
    assert len(listed.agents) == 1


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({"certificate_request": b""}, grpc.StatusCode.INVALID_ARGUMENT, "CSR_INVALID"),
        ({"certificate_request": CSR[:-1]}, grpc.StatusCode.INVALID_ARGUMENT, "CSR_INVALID"),
        ({"certificate_request": CSR + b"x"}, grpc.StatusCode.INVALID_ARGUMENT, "CSR_INVALID"),
        ({"agent_id": "Not An Id"}, grpc.StatusCode.INVALID_ARGUMENT, "NAME_INVALID"),
        ({"agent_id": "taken"}, grpc.StatusCode.ALREADY_EXISTS, "AGENT_EXISTS"),
        ({"request_id": "not a uuid"}, grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID"),
        ({"join_token": ""}, grpc.StatusCode.UNAUTHENTICATED, "JOIN_TOKEN_INVALID"),
        ({"join_token": "0" * 16 + "." + "0" * 64}, grpc.StatusCode.UNAUTHENTICATED, "JOIN_TOKEN_INVALID"),
    ],
)
async def test_what_is_wrong_is_named_and_the_token_stays_good(
    hub: RunningHub, fields: dict[str, Any], code: grpc.StatusCode, reason: str
) -> None:
    await hub.enroll("taken")
    token = await hub.join_token()
    async with hub.first_contact_channel() as channel:
        assert await outcome(channel, request(token, **fields)) == (code, reason)
        assert await outcome(channel, request(token)) == (grpc.StatusCode.OK, "")


async def test_a_used_and_an_expired_token_are_told_apart(tmp_path: Path) -> None:
    late = timedelta(0)
    async with running_hub(tmp_path / "hub", clock=lambda: datetime.now(UTC) + late) as hub, hub.first_contact_channel() as channel:
        used, old = await hub.join_token(), await hub.join_token(timedelta(minutes=1))
        await enroll(channel, request(used))
        late = timedelta(minutes=2)
        assert await outcome(channel, request(used)) == (grpc.StatusCode.UNAUTHENTICATED, "JOIN_TOKEN_USED")
        assert await outcome(channel, request(old)) == (grpc.StatusCode.UNAUTHENTICATED, "JOIN_TOKEN_EXPIRED")


@pytest.mark.parametrize("seconds", [0, -1, 30 * 86400 + 1, 315_576_000_000])
async def test_a_tokens_life_has_bounds(hub: RunningHub, seconds: int) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await hub.join_token(timedelta(seconds=seconds))
    assert (raised.value.code(), reason_of(raised.value)) == (grpc.StatusCode.INVALID_ARGUMENT, "TTL_INVALID")


GARBAGE = st.builds(
    enrollment_pb2.EnrollRequest,
    join_token=st.text(max_size=150),
    certificate_request=st.binary(max_size=400),
    agent_id=st.text(max_size=80),
    request_id=st.uuids().map(str) | st.text(max_size=50),
)


async def test_garbage_gets_a_clear_error_and_the_hub_goes_on(hub: RunningHub) -> None:
    wanted: list[enrollment_pb2.EnrollRequest] = []

    @settings(max_examples=200, deadline=None, database=None)
    @given(GARBAGE)
    def collect(garbage: enrollment_pb2.EnrollRequest) -> None:
        wanted.append(garbage)

    collect()
    async with hub.first_contact_channel() as channel:
        results = {await outcome(channel, garbage) for garbage in wanted}
    assert results <= {
        (grpc.StatusCode.UNAUTHENTICATED, "JOIN_TOKEN_INVALID"),
        (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID"),
        (grpc.StatusCode.INVALID_ARGUMENT, "NAME_INVALID"),
    }
    await hub.enroll()


async def test_what_is_no_protobuf_is_refused_and_the_hub_goes_on(hub: RunningHub) -> None:
    async with hub.first_contact_channel() as channel:
        call: Any = channel.unary_unary("/seawall.hub.v1.EnrollmentService/Enroll")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(b"\x00 this is none", timeout=20)
    assert raised.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    await hub.enroll()
