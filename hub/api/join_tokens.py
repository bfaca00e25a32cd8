"""seawall.hub.v1.JoinTokenService."""

from typing import Any

import grpc.aio

from hub.api.fields import read_ttl
from hub.fleet.enrollment import DEFAULT_TTL, Enrollment
from hub.fleet.messages import timestamp
from seawall.hub.v1 import join_token_pb2, join_token_pb2_grpc


class JoinTokenServicer(join_token_pb2_grpc.JoinTokenServiceServicer):
    """Makes join tokens."""

    def __init__(self, enrollment: Enrollment) -> None:
        self._enrollment = enrollment

    async def CreateJoinToken(  # noqa: N802  # the proto's name
        self, request: join_token_pb2.CreateJoinTokenRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> join_token_pb2.JoinToken:
        """See the proto."""
        del context
        ttl = read_ttl(request.ttl) if request.HasField("ttl") else DEFAULT_TTL
        token, record = await self._enrollment.create_token(ttl, dict(request.labels))
        return join_token_pb2.JoinToken(
            name=f"joinTokens/{token.token_id}", token=str(token), expire_time=timestamp(record.expire_time), labels=record.labels
        )
