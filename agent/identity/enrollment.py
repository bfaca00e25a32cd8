"""How a device becomes an agent: a key made here, a certificate for it from the hub."""

from collections.abc import Callable

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from agent.hub_channel import CHANNEL_OPTIONS, refusal
from agent.identity.attempts import Attempt, new_attempt
from agent.identity.files import Identity, pem
from agent.identity.trust import fetch_ca
from contract.errors import InvalidRequest, Reason
from contract.identity import JoinToken, parse_agent_name
from seawall.hub.v1 import enrollment_pb2, enrollment_pb2_grpc


def split_address(address: str) -> tuple[str, int]:
    """Returns host and port of `host:port`; IPv6 hosts in brackets.

    Raises:
        InvalidRequest: FIELD_INVALID.
    """
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise InvalidRequest(Reason.FIELD_INVALID, f"'{address}' is no address: write host:port, such as hub.example.org:7443.")
    return host.strip("[]"), int(port)


def enroll(
    token_text: str,
    enrollment_address: str,
    hub_address: str,
    agent_id: str = "",
    begin: Callable[[str], Attempt] = new_attempt,
    timeout_seconds: float = 20.0,
) -> Identity:
    """Enrols this device.

    Args:
        token_text: the whole join token.
        enrollment_address: `host:port` of the hub's enrolment listener.
        hub_address: `host:port` of its mTLS listener, kept in the identity.
        agent_id: the wanted id; empty: the hub chooses.
        begin: returns the attempt for a token's id: the same again, where the answer to it may have been lost.
        timeout_seconds: for the call.

    Raises:
        NotAuthenticated: the token is bad, used or expired, or made by another hub.
        Unavailable: HUB_UNAVAILABLE.
        InvalidRequest: an address or the agent id is not well formed, or the id is taken.
    """
    token = JoinToken.parse(token_text)
    host, port = split_address(enrollment_address)
    split_address(hub_address)
    ca_pem = fetch_ca(host, port, token)
    attempt = begin(token.token_id)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(attempt.key, SHA256())
    with grpc.secure_channel(enrollment_address, grpc.ssl_channel_credentials(root_certificates=ca_pem), CHANNEL_OPTIONS) as channel:
        stub = enrollment_pb2_grpc.EnrollmentServiceStub(channel)
        try:
            response = stub.Enroll(
                enrollment_pb2.EnrollRequest(
                    join_token=token.credential,
                    certificate_request=request.public_bytes(Encoding.DER),
                    agent_id=agent_id,
                    request_id=attempt.request_id,
                ),
                timeout=timeout_seconds,
            )
        except grpc.RpcError as error:
            raise refusal(error, enrollment_address) from error
    return Identity(
        agent_id=parse_agent_name(response.agent),
        trust_domain=response.trust_domain,
        hub_address=hub_address,
        key_pem=attempt.key_pem.encode(),
        certificate_pem=pem(response.certificate),
        ca_pem=b"".join(map(pem, response.ca_certificates)) or ca_pem,
        enrollment_address=enrollment_address,
        root_sha256=token.root_sha256,
    )
