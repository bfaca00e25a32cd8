"""What every call passes: who is it, may they, and what becomes of errors."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from time import monotonic
from typing import Any

import grpc
import grpc.aio
import structlog

from contract.errors import NotPermitted, Reason, SeawallError
from hub.api.errors import code_of, frames_of, internal_error, status_metadata
from hub.api.identity import CALLER, Caller, identify
from hub.api.roles import ALLOWED_ROLES, ANYONE
from hub.clock import Clock
from hub.fleet.authorities import Authorities
from hub.fleet.directory import Directory
from hub.measures import Calls

Context = grpc.aio.ServicerContext[Any, Any]


_UNTOLD = (
    Reason.HUB_UNAVAILABLE,  # a hub that stops ends thousands of streams, and nobody wants a line each
    Reason.RELEASE_NOT_FOUND,  # TUF asks for the next root until there is none
)

ADMITTED_AT_ONCE = 16
"""Agents looked up at the same time. When thousands come at once, the others wait here, and not in the store's queue before an operator."""

_log = structlog.get_logger(__name__)


class Gate(grpc.aio.ServerInterceptor):
    """Guards every method of a listener.

    Args:
        authorities: that callers' certificates must be of.
        directory: knows the agents.
        clock: the time, in UTC.
        calls: counts them.
    """

    def __init__(self, authorities: Authorities, directory: Directory, clock: Clock, calls: Calls) -> None:
        self._authorities = authorities
        self._directory = directory
        self._clock = clock
        self._turns = asyncio.Semaphore(ADMITTED_AT_ONCE)
        self._calls = calls

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Wraps the method's handler; an unknown method stays unknown."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None:
            return None
        if handler.response_streaming:
            return self._guard_stream(handler, method)
        return self._guard_unary(handler, method)

    def _guard_unary(self, handler: Any, method: str) -> Any:
        async def call(request: Any, context: Context) -> Any:
            async with self._boundary(method, context):
                await self._admit(method, context)
                return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(call, handler.request_deserializer, handler.response_serializer)

    def _guard_stream(self, handler: Any, method: str) -> Any:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            async with self._boundary(method, context):
                await self._admit(method, context)
                result = (handler.stream_stream or handler.unary_stream)(request, context)
                if inspect.isawaitable(result):
                    await result  # the health service writes by itself
                    return
                async with aclosing(result) as pieces:
                    async for piece in pieces:
                        self._check_still_good(CALLER.get())
                        yield piece

        wrap = grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        return wrap(call, handler.request_deserializer, handler.response_serializer)

    async def _admit(self, method: str, context: Context) -> None:
        caller = self._identify(context)
        CALLER.set(caller)
        if caller.role not in ALLOWED_ROLES.get(method, frozenset()):
            raise NotPermitted(Reason.ROLE_NOT_ALLOWED, f"A caller of role {caller.role} may not call {method}.")
        if caller.role == "agent":
            async with self._turns:
                await self._directory.admit(caller.name, caller.key_hash)

    def _identify(self, context: Context) -> Caller:
        certificate = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
        if certificate is None:
            return Caller(ANYONE)
        caller = identify(certificate, self._authorities.trust_domain, self._clock())
        self._check_issuer(caller)
        return caller

    def _check_still_good(self, caller: Caller) -> None:
        """A certificate may expire while a stream goes on."""
        caller.check_validity(self._clock())
        self._check_issuer(caller)

    def _check_issuer(self, caller: Caller) -> None:
        """A CA may be trusted no more while a connection, or a stream, goes on."""
        if caller.role != ANYONE:
            self._authorities.check(caller.issuer_key_id)

    @asynccontextmanager
    async def _boundary(self, method: str, context: Context) -> AsyncIterator[None]:
        """Turns our errors into statuses, and hides those that are not ours."""
        self._calls.begin(method)
        start, code = monotonic(), "CANCELLED"
        try:
            yield
            code = "OK"
        except SeawallError as error:
            code = code_of(error).name
            await self._abort(method, context, error)
        except grpc.aio.BaseError:
            code = _name(context.code())
            raise
        except Exception as error:  # noqa: BLE001  # the outermost boundary: gRPC would send the error's text to the caller
            _log.error("unexpected error", method=method, error=type(error).__name__, frames=frames_of(error))
            code = grpc.StatusCode.INTERNAL.name
            await self._abort(method, context, internal_error())
        finally:
            self._calls.end(method, code, monotonic() - start)

    async def _abort(self, method: str, context: Context, error: SeawallError) -> None:
        code = code_of(error)
        if error.reason not in _UNTOLD:
            _log_refusal(method, error, context)
        await context.abort(code, error.message, status_metadata(error))


def _name(code: object) -> str:
    """Of the status that a handler has ended its call with; gRPC keeps its number."""
    return next((status.name for status in grpc.StatusCode if code in (status, status.value[0])), grpc.StatusCode.UNKNOWN.name)


def _log_refusal(method: str, error: SeawallError, context: Context) -> None:
    caller = CALLER.get(Caller(ANYONE))
    _log.info(
        "call refused",
        method=method,
        code=code_of(error).name,
        reason=error.reason,
        role=caller.role,
        name=caller.name,
        peer=context.peer(),
    )
