"""Where a prompt's trace begins and where its spans go. Off unless `[telemetry]` names a collector."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

import grpc

from agent.inference.current import LocalModel
from agent.inference.engine import Finished, Piece
from agent.prompts import Answer, Answerer, Delta, Message, Prompt, Sampling
from agent.routes import Models
from contract import telemetry
from contract.bundle import Bundle
from contract.errors import InvalidRequest, Reason
from contract.tracing import NO_TRACING, Attributes, Kind, Span, Tracing

if TYPE_CHECKING:
    from agent.config import TelemetrySettings

CLASSIFY, DECIDE, RECALL, JUDGE, RECORD = "classify", "decide", "recall", "judge", "record"
"""Names of the pipeline's steps; the model's own is `chat MODEL`, the hub's its RPC."""

_ROOTS: dict[str, tuple[str, Kind, Attributes]] = {
    "http": ("POST /v1/chat/completions", Kind.SERVER, {telemetry.HTTP_ROUTE: "/v1/chat/completions"}),
    "mqtt": ("process prompts", Kind.CONSUMER, {telemetry.MESSAGING_SYSTEM: "mqtt"}),
}
_OTHER_ROOT: tuple[str, Kind, Attributes] = ("answer", Kind.INTERNAL, {})


def open_tracing(settings: "TelemetrySettings", agent_id: str) -> Tracing:
    """Starts what sends spans, if they are wanted.

    Args:
        settings: where to.
        agent_id: of this agent.

    Raises:
        InvalidRequest: CONFIG_INVALID, the CA's file cannot be read.
    """
    if not settings.otlp_endpoint:
        return NO_TRACING
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub  # only where it is on

    from contract.spans import SdkTracing

    resource = {
        telemetry.SERVICE_NAME: "seawall-agent",
        telemetry.SERVICE_VERSION: version("seawall"),
        telemetry.SERVICE_INSTANCE_ID: agent_id,
    }
    collector = TraceServiceStub(_channel(settings.otlp_endpoint, settings.otlp_ca_file))  # type: ignore[no-untyped-call]  # generated so
    return SdkTracing(collector.Export, resource, settings.sample_ratio)


def _channel(endpoint: str, ca_file: Path | None) -> grpc.Channel:
    scheme, _, address = endpoint.rstrip("/").partition("://")
    options = [("grpc.enable_http_proxy", 0)]
    if scheme == "http":
        return grpc.insecure_channel(address, options)
    try:
        trusted = ca_file.read_bytes() if ca_file is not None else None
    except OSError as error:
        raise InvalidRequest(
            Reason.CONFIG_INVALID, f"The file {ca_file} of [telemetry] otlp_ca_file cannot be read: {error.strerror}."
        ) from error
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(trusted), options)


class TracedAnswerer:
    """Traces each answer, from the prompt's arrival to its end.

    Args:
        answerer: what answers.
        tracing: where to.
    """

    def __init__(self, answerer: Answerer, tracing: Tracing) -> None:
        self._answerer = answerer
        self._tracing = tracing

    async def answer(self, prompt: Prompt) -> AsyncGenerator[Delta | Answer, None]:
        """See Answerer."""
        name, kind, attributes = _ROOTS.get(prompt.intake, _OTHER_ROOT)
        with self._tracing.root(name, kind, prompt.trace_parent, attributes, prompt.received_time) as span:
            pieces = cast(AsyncGenerator[Delta | Answer, None], self._answerer.answer(prompt))
            async with aclosing(pieces):
                async for piece in pieces:
                    if isinstance(piece, Answer):
                        _describe(span, piece)
                    yield piece


def _describe(span: Span, answer: Answer) -> None:
    receipt = answer.receipt
    span.set(telemetry.ROUTE, receipt.route)
    span.set(telemetry.DATA_CLASS, receipt.data_class)
    span.set(telemetry.PROVISIONAL, receipt.provisional)
    span.set(telemetry.RECEIPT_ID, receipt.receipt_id)
    if receipt.confidence is not None:
        span.set(telemetry.CONFIDENCE, receipt.confidence)


class TracedModels:
    """Traces the answers of whatever model answers; see agent.routes.Models.

    Args:
        models: gives the model.
        tracing: where to.
    """

    def __init__(self, models: Models, tracing: Tracing) -> None:
        self._models = models
        self._tracing = tracing

    @property
    def bundle(self) -> Bundle:
        """See Models."""
        return self._models.bundle

    @contextmanager
    def held(self) -> Iterator[LocalModel]:
        """See Models."""
        with self._models.held() as model:
            yield TracedModel(model, self._tracing)


class TracedModel:
    """Traces the model's answers; see agent.inference.current.LocalModel.

    Args:
        model: the model.
        tracing: where to.
    """

    def __init__(self, model: LocalModel, tracing: Tracing) -> None:
        self._model = model
        self._tracing = tracing
        self.bundle = model.bundle
        self.context_tokens = model.context_tokens

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """See LocalModel."""
        return self._model.count_tokens(messages)

    async def generate(self, messages: Sequence[Message], sampling: Sampling, client: str = "") -> AsyncGenerator[Piece | Finished, None]:
        """See LocalModel."""
        name = self.bundle.name
        attributes = {telemetry.OPERATION_NAME: telemetry.CHAT, telemetry.PROVIDER_NAME: "seawall", telemetry.REQUEST_MODEL: name}
        with self._tracing.step(f"{telemetry.CHAT} {name}", attributes) as span:
            async with aclosing(self._model.generate(messages, sampling, client)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Finished):
                        span.set(telemetry.INPUT_TOKENS, piece.input_tokens)
                        span.set(telemetry.OUTPUT_TOKENS, piece.output_tokens)
                        span.set(telemetry.FINISH_REASON, piece.finish_reason)
                    yield piece
