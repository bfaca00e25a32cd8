"""The operator's side: asks a running hub, with the operator's certificate."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, cast

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from contract.errors import NotPossibleNow, Reason, SeawallError, Unavailable
from hub.config import MAX_MESSAGE_BYTES, connectable, split_address
from hub.folder import DataFolder
from seawall.hub.v1 import (
    agent_pb2,
    agent_pb2_grpc,
    audit_pb2_grpc,
    command_pb2_grpc,
    event_pb2_grpc,
    group_pb2_grpc,
    join_token_pb2,
    join_token_pb2_grpc,
    release_pb2,
    release_pb2_grpc,
    rollout_pb2_grpc,
    round_pb2_grpc,
)

CALL_SECONDS = 10
"""One of the operator's calls may take so long."""


class Operator:
    """Calls a hub.

    Args:
        channel: to its mTLS listener.
        address: of it, for messages.
    """

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._channel = channel
        self._address = address

        self.agents: Any = agent_pb2_grpc.AgentServiceStub(channel)
        self.groups: Any = group_pb2_grpc.GroupServiceStub(channel)
        self.commands: Any = command_pb2_grpc.CommandServiceStub(channel)
        self.audit: Any = audit_pb2_grpc.AuditServiceStub(channel)
        self.events: Any = event_pb2_grpc.EventServiceStub(channel)
        self.releases: Any = release_pb2_grpc.ReleaseServiceStub(channel)
        self.publisher: Any = release_pb2_grpc.PublisherServiceStub(channel)
        self.rollouts: Any = rollout_pb2_grpc.RolloutServiceStub(channel)
        self.learning: Any = round_pb2_grpc.LearningServiceStub(channel)
        self._join_tokens: Any = join_token_pb2_grpc.JoinTokenServiceStub(channel)

    def create_join_token(self, ttl: timedelta, labels: Mapping[str, str] | None = None) -> join_token_pb2.JoinToken:
        """Asks for a token that enrols one agent, with these labels.

        Raises:
            SeawallError: as the hub says; Unavailable: it cannot be reached.
        """
        duration = Duration()
        duration.FromTimedelta(ttl)
        request = join_token_pb2.CreateJoinTokenRequest(ttl=duration, labels=labels)
        token: join_token_pb2.JoinToken = self.call(self._join_tokens.CreateJoinToken, request)
        return token

    def list_agents(self, chosen: str = "") -> list[agent_pb2.Agent]:
        """Returns every agent that a filter chooses.

        Raises:
            SeawallError: as the hub says; Unavailable: it cannot be reached.
        """
        return self.pages(self.agents.ListAgents, agent_pb2.ListAgentsRequest(page_size=1000, filter=chosen), "agents")

    def metadata(self, name: str) -> bytes | None:
        """Returns a metadata file of what is distributed; None: there is none of this name.

        Raises:
            SeawallError: as the hub says; Unavailable: it cannot be reached.
        """
        with self._our_errors():
            try:
                return bytes(self.releases.GetMetadata(release_pb2.GetMetadataRequest(name=name), timeout=CALL_SECONDS).content)
            except grpc.RpcError as error:
                if cast(grpc.Call, error).code() is grpc.StatusCode.NOT_FOUND:
                    return None
                raise

    def call(self, method: Callable[..., Any], request: Message) -> Any:
        """Calls a method of one of the stubs.

        Raises:
            SeawallError: as the hub says; Unavailable: it cannot be reached.
        """
        with self._our_errors():
            return method(request, timeout=CALL_SECONDS)

    def pages(self, method: Callable[..., Any], request: Any, field: str) -> list[Any]:
        """Returns what is in `field` of every page of a list.

        Raises:
            SeawallError: as the hub says; Unavailable: it cannot be reached.
        """
        result: list[Any] = []
        while True:
            page = self.call(method, request)
            result += getattr(page, field)
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return result

    def stream(self, method: Callable[..., Any], request: Message) -> Iterator[Any]:
        """Yields what a method of one of the stubs streams.

        Raises:
            SeawallError: as the hub says; Unavailable: it cannot be reached, or stops.
        """
        with self._our_errors():
            yield from method(request)

    @contextmanager
    def _our_errors(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise Unavailable(Reason.HUB_UNAVAILABLE, self._why_away(str(error.details()))) from error
            raise SeawallError(Reason.INTERNAL, f"The hub refused: {error.details()}") from error

    def _why_away(self, details: str) -> str:
        """Says what to do of gRPC's words for a connection that cannot be had."""
        if "Connection refused" in details:
            return f"Nothing listens on {self._address}. Start the hub: seawall-hub serve; or correct [listeners] mtls in hub.toml."
        if "certificate" in details.lower() or "handshake" in details.lower():
            return (
                f"What listens on {self._address} is no hub of this data folder: no certificate is accepted. Check --data and [listeners]."
            )
        return f"No hub answers on {self._address}, or it has just stopped. Look at its log, and try again."


@contextmanager
def connect(folder: DataFolder, address: str, now: datetime) -> Iterator[Operator]:
    """Connects with the operator's certificate from the data folder.

    Args:
        folder: with the certificate.
        address: the mTLS listener, as configured.
        now: the time, in UTC.

    Raises:
        NotPossibleNow: CONFIG_INVALID, the certificate is missing, damaged, or has expired.
    """
    folder.settle()
    key, certificate = folder.operator.read()
    if folder.operator.load()[1].not_valid_after_utc <= now:
        raise NotPossibleNow(
            Reason.CONFIG_INVALID,
            f"{folder.operator.certificate_path} has expired. Delete it and run: seawall-hub init --data {folder.path}",
        )
    host, port = split_address(address)
    host = connectable(host)
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    credentials = grpc.ssl_channel_credentials(folder.trusted_pem(), key, certificate)
    options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.enable_http_proxy", 0)]
    with grpc.secure_channel(target, credentials, options) as channel:
        yield Operator(channel, target)
