"""seawall.hub.v1.EnrollmentService."""

from typing import Any

import grpc.aio

from contract.identity import agent_name
from hub.api.fields import read_request_id
from hub.fleet.authorities import Authorities
from hub.fleet.enrollment import Enrollment, EnrollmentRequest
from seawall.hub.v1 import enrollment_pb2, enrollment_pb2_grpc


class EnrollmentServicer(enrollment_pb2_grpc.EnrollmentServiceServicer):
    """Lets devices in."""

    def __init__(self, enrollment: Enrollment, authorities: Authorities) -> None:
        self._enrollment = enrollment
        self._authorities = authorities

    async def Enroll(  # noqa: N802  # the proto's name
        self, request: enrollment_pb2.EnrollRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> enrollment_pb2.EnrollResponse:
        """See the proto."""
        del context
        record = await self._enrollment.enroll(
            EnrollmentRequest(
                credential=request.join_token,
                certificate_request=request.certificate_request,
                agent_id=request.agent_id,
                request_id=read_request_id(request.request_id),
            )
        )
        return enrollment_pb2.EnrollResponse(
            agent=agent_name(record.agent_id),
            certificate=record.certificate,
            ca_certificate=self._authorities.trust.trusted_der[0],
            ca_certificates=self._authorities.trust.trusted_der,
            trust_domain=self._authorities.trust_domain,
        )
