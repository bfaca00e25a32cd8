"""Reads the errors of a hub as a client in any language would."""

from typing import Any

import grpc.aio
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from contract.errors import ERROR_DOMAIN


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The reason in the status's one ErrorInfo; empty where TLS or gRPC itself refused."""
    call: Any = error  # the stubs know sync calls alone
    status = rpc_status.from_call(call)
    if status is None:
        return ""
    info = error_details_pb2.ErrorInfo()
    detail, *_ = status.details  # a hub that asks to be left alone says for how long behind it
    assert detail.Unpack(info)
    assert info.domain == ERROR_DOMAIN
    assert status.message == error.details()
    return str(info.reason)
