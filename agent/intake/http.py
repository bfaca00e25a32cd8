"""Prompts that come by HTTP, in OpenAI's form: `/v1/chat/completions` and `/v1/models`; also `/v1/feedback`, `/healthz` and `/metrics`."""

import asyncio
import random
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.intake.chat import error_body, write_error, write_model, write_models
from agent.intake.chat_endpoint import CONVERSATION_HEADER, FLOOR_HEADER, ChatEndpoint, read_body
from agent.intake.feedback import MAX_FEEDBACK_BYTES, GiveFeedback, read_feedback
from agent.intake.guard import BrowserGuard, authenticated
from agent.intake.settings import HttpSettings
from agent.prompts import Answerer
from contract.errors import NotFound, NotPossibleNow, Reason, SeawallError
from contract.tracing import TRACEPARENT

_BACKLOG = 128


class HttpIntake:
    """The HTTP server of the agent.

    Args:
        settings: where it listens, and the limits.
        answerer: what answers.
        model_name: the name by which clients ask for the model.
        health: asked at `/healthz`; JSON values. With `"ok": False` the status is 503.
        registry: shown at `/metrics`.
        clock: the time, in UTC.
        randomness: for ids.
        give_feedback: takes what clients say of answers; None: nobody does.
    """

    def __init__(
        self,
        settings: HttpSettings,
        answerer: Answerer,
        model_name: str,
        health: Callable[[], Mapping[str, Any]],
        registry: CollectorRegistry,
        clock: Callable[[], datetime],
        randomness: random.Random,
        give_feedback: GiveFeedback | None = None,
    ) -> None:
        self._settings = settings
        self._model_name = model_name
        self._health = health
        self._registry = registry
        self._created = int(clock().timestamp())
        self._chat = ChatEndpoint(settings, answerer, model_name, clock, randomness)
        self._give_feedback = give_feedback
        self._socket: socket.socket | None = None

    def bind(self) -> int:
        """Takes the port, so that a mistake shows early. Returns the port.

        Raises:
            NotPossibleNow: CONFIG_INVALID, the port is taken, or the host is not this machine's.
        """
        self._socket = _listening(self._settings.host, self._settings.port)
        return self.port

    @property
    def port(self) -> int:
        """The port, once bound."""
        if self._socket is None:
            raise RuntimeError("bind() comes first")
        return int(self._socket.getsockname()[1])

    async def run(self) -> None:
        """Serves until cancelled.

        Raises:
            NotPossibleNow: as `bind`, if that was not called before.
        """
        if self._socket is None:
            self.bind()
        server = _Server(_config(self._app(), self._settings))
        serving = asyncio.create_task(server.serve(sockets=[self._socket] if self._socket else None))
        try:
            await asyncio.shield(serving)
        finally:
            server.should_exit = True
            await serving

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._chat.handle, methods=["POST"]),
                *([Route("/v1/feedback", self._feedback, methods=["POST"])] if self._give_feedback is not None else []),
                Route("/v1/models", self._models),
                Route("/v1/models/{model:path}", self._model),
                Route("/healthz", self._healthz),
                Route("/metrics", self._metrics),
            ],
            middleware=_middleware(self._settings),
            exception_handlers={SeawallError: _refused, HTTPException: _not_here, ClientDisconnect: _gone, Exception: _failed},
        )

    async def _feedback(self, request: Request) -> Response:
        client = authenticated(request.headers, self._settings)
        feedback = read_feedback(await read_body(request, MAX_FEEDBACK_BYTES))
        if self._give_feedback is not None:
            await self._give_feedback(client, feedback.prompt_id, feedback.is_good)
        return JSONResponse({"id": feedback.prompt_id, "good": feedback.is_good})

    async def _models(self, request: Request) -> Response:
        authenticated(request.headers, self._settings)
        return JSONResponse(write_models(self._model_name, self._created))

    async def _model(self, request: Request) -> Response:
        authenticated(request.headers, self._settings)
        if request.path_params["model"] != self._model_name:
            raise NotFound(Reason.MODEL_UNKNOWN, f"There is no such model here: ask for '{self._model_name}'.")
        return JSONResponse(write_model(self._model_name, self._created))

    async def _healthz(self, _request: Request) -> Response:
        health = self._health()
        return JSONResponse(dict(health), 503 if health.get("ok") is False else 200)

    async def _metrics(self, request: Request) -> Response:
        authenticated(request.headers, self._settings)
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), media_type=content_type)


def _middleware(settings: HttpSettings) -> list[Middleware]:
    guard = Middleware(BrowserGuard, settings=settings)
    if not settings.allowed_origins:
        return [guard]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type", CONVERSATION_HEADER, FLOOR_HEADER, TRACEPARENT],
        allow_private_network=True,
        expose_headers=["x-seawall-route", "x-seawall-receipt"],
    )
    return [guard, cors]


async def _refused(_request: Request, error: Exception) -> Response:
    refusal = cast(SeawallError, error)
    return JSONResponse(write_error(refusal), refusal.http_status)


async def _not_here(_request: Request, error: Exception) -> Response:
    absence = cast(HTTPException, error)
    message = f"{absence.detail}: see /v1/chat/completions, /v1/feedback, /v1/models, /healthz and /metrics."
    return JSONResponse(error_body(absence.status_code, message, "unknown_url"), absence.status_code, headers=absence.headers)


async def _gone(_request: Request, _error: Exception) -> Response:
    # Nobody reads it.
    return Response(status_code=408)


async def _failed(_request: Request, _error: Exception) -> Response:
    error = SeawallError(Reason.INTERNAL, "The agent failed, by a mistake of its own: see its log.")
    return JSONResponse(write_error(error), error.http_status)


class _Server(uvicorn.Server):
    """uvicorn, without its signal handlers: the agent has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


def _config(app: Starlette, settings: HttpSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",  # the same parser whatever else is installed
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=settings.max_connections,
        timeout_graceful_shutdown=settings.grace_seconds,
    )


def _listening(host: str, port: int) -> socket.socket:
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise NotPossibleNow(
            Reason.CONFIG_INVALID,
            f"HTTP cannot listen on {host} port {port} ({error.strerror}): set another host or port, or end the program that has it.",
        ) from error
    return listener
