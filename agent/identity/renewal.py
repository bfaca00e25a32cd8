"""How an agent gets its next certificate: with the one it has, or, where that has expired, with a nonce signed by its key."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from agent.hub_channel import CHANNEL_OPTIONS, refusal
from agent.identity.authorities import issued
from agent.identity.enrollment import split_address
from agent.identity.files import Identity, pem
from contract.errors import NotAuthenticated, NotPossibleNow, Reason
from contract.identity import SpiffeId
from seawall.hub.v1 import certificate_pb2 as pb
from seawall.hub.v1 import certificate_pb2_grpc

RECOVERY_CONTEXT = b"seawall-recovery-v1\x00"
"""So that what is signed here is of no use elsewhere."""

_USUAL_ENROLLMENT_PORT = 7443
_TIMEOUT_SECONDS = 20.0


async def renew(identity: Identity, key: ec.EllipticCurvePrivateKey, channel: grpc.aio.Channel) -> Identity:
    """Asks for a certificate for a new key, while the old one is good.

    Args:
        identity: as it is.
        key: the new one; the same at every try.
        channel: to the hub's mTLS listener.

    Raises:
        SeawallError: the hub refuses, gives no answer, or gives one that cannot be used.
    """
    request = pb.RenewCertificateRequest(certificate_request=_request(key))
    try:
        response = await certificate_pb2_grpc.CertificateServiceStub(channel).RenewCertificate(request, timeout=_TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError as error:
        raise refusal(error, identity.hub_address) from error
    return _renewed(identity, key, response.certificate, response.ca_certificates)


async def recover(identity: Identity, key: ec.EllipticCurvePrivateKey) -> Identity:
    """Asks for a certificate for a new key, with one that has expired.

    Args:
        identity: as it is.
        key: the new one; the same at every try.

    Raises:
        SeawallError: the hub refuses, gives no answer, or gives one that cannot be used.
    """
    address = recovery_address(identity)
    credentials = grpc.ssl_channel_credentials(identity.ca_pem)
    async with grpc.aio.secure_channel(address, credentials, options=CHANNEL_OPTIONS) as channel:
        stub = certificate_pb2_grpc.RecoveryServiceStub(channel)
        try:
            nonce = (await stub.CreateRecoveryNonce(pb.CreateRecoveryNonceRequest(), timeout=_TIMEOUT_SECONDS)).nonce
            response = await stub.RecoverCertificate(recovery_request(identity, key, nonce), timeout=_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise refusal(error, address) from error
    return _renewed(identity, key, response.certificate, response.ca_certificates)


def recovery_request(identity: Identity, key: ec.EllipticCurvePrivateKey, nonce: bytes) -> pb.RecoverCertificateRequest:
    """Returns what is sent for a nonce: signed by the old key, for the new one.

    Raises:
        NotPossibleNow: CERTIFICATE_INVALID, the old key is not one that can sign this.
    """
    request = _request(key)
    old = load_pem_private_key(identity.key_pem, None)
    if not isinstance(old, ec.EllipticCurvePrivateKey):
        raise NotPossibleNow(Reason.CERTIFICATE_INVALID, "The old key is no EC key: enrol again with seawall-agent enroll --again TOKEN.")
    return pb.RecoverCertificateRequest(
        certificate=identity.certificate.public_bytes(Encoding.DER),
        nonce=nonce,
        signature=old.sign(RECOVERY_CONTEXT + nonce + hashlib.sha256(request).digest(), ec.ECDSA(SHA256())),
        certificate_request=request,
    )


def recovery_address(identity: Identity) -> str:
    """Returns `host:port` of the listener that asks for no certificate."""
    if identity.enrollment_address:
        return identity.enrollment_address
    host, _ = split_address(identity.hub_address)
    return f"[{host}]:{_USUAL_ENROLLMENT_PORT}" if ":" in host else f"{host}:{_USUAL_ENROLLMENT_PORT}"


def _request(key: ec.EllipticCurvePrivateKey) -> bytes:
    return x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256()).public_bytes(Encoding.DER)


def _renewed(identity: Identity, key: ec.EllipticCurvePrivateKey, certificate_der: bytes, ca_ders: Sequence[bytes]) -> Identity:
    """Returns the identity with its new certificate, having made sure that it is one of ours: nothing else may take the old one's place."""
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        authorities = [x509.load_der_x509_certificate(der) for der in ca_ders]
        same_key = certificate.public_key() == key.public_key()
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        same_name = names.get_values_for_type(x509.UniformResourceIdentifier) == [
            str(SpiffeId(identity.trust_domain, "agent", identity.agent_id))
        ]
        known = any(issued(certificate, authority) for authority in authorities)
    except (ValueError, x509.ExtensionNotFound) as error:
        raise _unusable("it is none") from error
    if not (same_key and same_name and known):
        raise _unusable("it is of another key, another name, or another CA")
    return replace(
        identity,
        key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate_pem=pem(certificate_der),
        ca_pem=b"".join(pem(der) for der in ca_ders),
    )


def _unusable(why: str) -> NotAuthenticated:
    return NotAuthenticated(Reason.CERTIFICATE_INVALID, f"The hub's new certificate is not used ({why}): tell its operator.")
