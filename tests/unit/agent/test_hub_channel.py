"""What the hub's refusals mean, as a real gRPC server gives them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from agent.hub_channel import hub_reason, open_channel, refusal
from agent.identity.files import Identity
from contract.errors import ERROR_DOMAIN, InvalidRequest, NotAuthenticated, Reason, Unavailable
from seawall.hub.v1 import agent_pb2, agent_pb2_grpc
from tests.fakes.tls import Authority, free_port

STATUS_KEY = "grpc-status-details-bin"


@contextmanager
def refusing_server(code: grpc.StatusCode, metadata: Sequence[tuple[str, bytes]]) -> Iterator[int]:
    class Refuse(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
            return grpc.unary_unary_rpc_method_handler(self._refuse)

        def _refuse(self, _request: bytes, context: grpc.ServicerContext) -> NoReturn:
            context.set_trailing_metadata(tuple(metadata))
            context.abort(code, "the hub's words")

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Refuse()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


def refused(code: grpc.StatusCode, metadata: Sequence[tuple[str, bytes]] = ()) -> grpc.RpcError:
    with (
        refusing_server(code, metadata) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        agent_pb2_grpc.AgentServiceStub(channel).GetAgent(agent_pb2.GetAgentRequest(), timeout=10)
    return caught.value


def status(code: grpc.StatusCode, reason: str, domain: str = ERROR_DOMAIN, message: str = "the hub's words") -> bytes:
    detail = AnyMessage()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=domain))
    number: int = code.value[0]
    return bytes(status_pb2.Status(code=number, message=message, details=[detail]).SerializeToString())


DENIED = grpc.StatusCode.PERMISSION_DENIED


def test_the_hubs_reason_is_read() -> None:
    error = refused(DENIED, [(STATUS_KEY, status(DENIED, "DATA_CLASS_NOT_ALLOWED"))])
    assert hub_reason(error) is Reason.DATA_CLASS_NOT_ALLOWED


@pytest.mark.parametrize(
    "details",
    [
        status(DENIED, "NOT_INVENTED_YET"),
        status(DENIED, "DATA_CLASS_NOT_ALLOWED", domain="elsewhere.example"),
        status(grpc.StatusCode.ABORTED, "DATA_CLASS_NOT_ALLOWED"),
        status(DENIED, "DATA_CLASS_NOT_ALLOWED", message="other words"),
        status_pb2.Status(code=7, message="the hub's words").SerializeToString(),
        status_pb2.Status(
            code=7, message="the hub's words", details=[AnyMessage(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")]
        ).SerializeToString(),
        b"\xff no status",
        b"",
    ],
)
def test_a_refusal_without_a_reason_that_is_known_has_none(details: bytes) -> None:
    assert hub_reason(refused(DENIED, [(STATUS_KEY, details)])) is None


async def test_a_refusal_of_the_asynchronous_channel_is_read_the_same() -> None:
    with refusing_server(DENIED, [(STATUS_KEY, status(DENIED, "ROLE_NOT_ALLOWED"))]) as port:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await agent_pb2_grpc.AgentServiceStub(channel).GetAgent(agent_pb2.GetAgentRequest(), timeout=10)
    assert hub_reason(caught.value) is Reason.ROLE_NOT_ALLOWED


@pytest.mark.parametrize(
    ("code", "reason", "ours"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, Reason.JOIN_TOKEN_USED, NotAuthenticated),
        (grpc.StatusCode.ALREADY_EXISTS, Reason.AGENT_EXISTS, InvalidRequest),
        (grpc.StatusCode.UNAVAILABLE, Reason.PROVIDERS_UNAVAILABLE, Unavailable),
    ],
)
def test_a_refusal_becomes_an_error_of_ours(code: grpc.StatusCode, reason: Reason, ours: type[Exception]) -> None:
    error = refusal(refused(code, [(STATUS_KEY, status(code, reason))]), "hub:1")
    assert type(error) is ours
    if ours is not Unavailable:
        assert (error.reason, error.message) == (reason, "the hub's words")


def test_a_hub_that_gives_no_answer_is_named_with_what_to_do() -> None:
    error = refusal(refused(grpc.StatusCode.DEADLINE_EXCEEDED), "hub.example.org:7444")
    assert error.reason is Reason.HUB_UNAVAILABLE
    assert "hub.example.org:7444" in error.message
    assert "seawall-agent doctor" in error.message


async def test_the_channel_shows_our_certificate_and_takes_only_our_ca() -> None:
    ours, theirs = Authority("ours"), Authority("theirs")
    pair, shown = ours.issue(), ours.issue()
    credentials = grpc.ssl_server_credentials([(shown.key_pem, shown.certificate_pem)], ours.pem, True)
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        assert await _connects(Identity("a1", "example.org", f"127.0.0.1:{port}", pair.key_pem, pair.certificate_pem, ours.pem))
        assert not await _connects(Identity("a1", "example.org", f"127.0.0.1:{port}", pair.key_pem, pair.certificate_pem, theirs.pem))
    finally:
        await server.stop(0)


async def test_a_web_proxy_of_the_site_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")
    authority = Authority()
    pair, shown = authority.issue(), authority.issue()
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(shown.key_pem, shown.certificate_pem)]))
    await server.start()
    try:
        assert await _connects(Identity("a1", "example.org", f"127.0.0.1:{port}", pair.key_pem, pair.certificate_pem, authority.pem))
    finally:
        await server.stop(0)


async def _connects(identity: Identity) -> bool:
    async with open_channel(identity) as channel:
        state = channel.get_state(try_to_connect=True)
        while state not in (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE):
            await channel.wait_for_state_change(state)
            state = channel.get_state()
        return state is grpc.ChannelConnectivity.READY
