"""seawall.hub.v1.CertificateService and RecoveryService."""

from typing import Any

import grpc.aio

from hub.api.identity import CALLER
from hub.fleet.authorities import Authorities
from hub.fleet.messages import timestamp
from hub.fleet.nonces import Nonces
from hub.fleet.renewal import Recovery, Renewal
from seawall.hub.v1 import certificate_pb2, certificate_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class CertificateServicer(certificate_pb2_grpc.CertificateServiceServicer):
    """Renews agents' certificates.

    Args:
        renewal: issues them.
        authorities: that agents are to trust.
    """

    def __init__(self, renewal: Renewal, authorities: Authorities) -> None:
        self._renewal = renewal
        self._authorities = authorities

    async def RenewCertificate(  # noqa: N802  # the proto's name
        self, request: certificate_pb2.RenewCertificateRequest, context: Context
    ) -> certificate_pb2.RenewCertificateResponse:
        """See the proto."""
        del context
        caller = CALLER.get()
        certificate = await self._renewal.renew(caller.name, caller.key_hash, request.certificate_request)
        return certificate_pb2.RenewCertificateResponse(certificate=certificate, ca_certificates=self._authorities.trust.trusted_der)


class RecoveryServicer(certificate_pb2_grpc.RecoveryServiceServicer):
    """Lets agents in again that were off for too long.

    Args:
        nonces: for them to sign.
        recovery: checks and issues.
        authorities: that agents are to trust.
    """

    def __init__(self, nonces: Nonces, recovery: Recovery, authorities: Authorities) -> None:
        self._nonces = nonces
        self._recovery = recovery
        self._authorities = authorities

    async def CreateRecoveryNonce(  # noqa: N802  # the proto's name
        self, request: certificate_pb2.CreateRecoveryNonceRequest, context: Context
    ) -> certificate_pb2.CreateRecoveryNonceResponse:
        """See the proto."""
        del request, context
        nonce, good_until = self._nonces.create()
        return certificate_pb2.CreateRecoveryNonceResponse(nonce=nonce, expire_time=timestamp(good_until))

    async def RecoverCertificate(  # noqa: N802  # the proto's name
        self, request: certificate_pb2.RecoverCertificateRequest, context: Context
    ) -> certificate_pb2.RecoverCertificateResponse:
        """See the proto."""
        del context
        certificate = await self._recovery.recover(request.certificate, request.nonce, request.signature, request.certificate_request)
        return certificate_pb2.RecoverCertificateResponse(certificate=certificate, ca_certificates=self._authorities.trust.trusted_der)
