"""What escalations take: time and tokens, by provider. Never a word of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import CollectorRegistry, Histogram

from contract import telemetry
from contract.tracing import NO_TRACING, Kind, Span, Tracing
from hub.config import ProviderSettings
from hub.escalation.prompts import Escalation, Finish, TextDelta
from hub.escalation.providers.base import ProviderFailed

TOKEN_BUCKETS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
"""What the conventions advise for gen_ai.client.token.usage."""

_LABELS = [telemetry.label(name) for name in (telemetry.OPERATION_NAME, telemetry.PROVIDER_NAME, telemetry.REQUEST_MODEL)]

_log = structlog.get_logger(__name__)


class Meter:
    """Measures answers as they pass.

    Args:
        registry: of the metrics.
        clock: monotonic, in seconds.
        tracing: told of each try.
    """

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float], tracing: Tracing = NO_TRACING) -> None:
        self._tracing = tracing
        self.clock = clock
        self.durations = Histogram(
            telemetry.CLIENT_OPERATION_DURATION_SECONDS,
            "From the request to the answer's end, or to the error",
            [*_LABELS, telemetry.label(telemetry.ERROR_TYPE)],
            buckets=telemetry.DURATION_BUCKETS_SECONDS,
            registry=registry,
        )
        self.first_tokens = Histogram(
            telemetry.TIME_TO_FIRST_TOKEN_SECONDS,
            "From the request to the first text",
            _LABELS,
            buckets=telemetry.DURATION_BUCKETS_SECONDS,
            registry=registry,
        )
        self.tokens = Histogram(
            telemetry.CLIENT_TOKEN_USAGE,
            "Tokens of one answer, as the provider counts them",
            [*_LABELS, telemetry.label(telemetry.TOKEN_TYPE)],
            buckets=TOKEN_BUCKETS,
            registry=registry,
        )

    @contextmanager
    def attempt(self, settings: ProviderSettings, escalation: Escalation) -> Iterator["Attempt"]:
        """Measures one provider's try at one prompt; it is noted however it ends."""
        with self._begin(settings) as span:
            attempt = Attempt(self, settings, span)
            try:
                yield attempt
            except ProviderFailed as error:
                attempt.error_type = error.error_type
                span.fail(error.error_type)
                raise
            finally:
                attempt.note(escalation)

    def _begin(self, settings: ProviderSettings) -> Span:
        attributes = {
            telemetry.OPERATION_NAME: telemetry.CHAT,
            telemetry.PROVIDER_NAME: settings.kind,
            telemetry.REQUEST_MODEL: settings.model,
            telemetry.PROVIDER: settings.name,
            telemetry.TIER: settings.tier,
        }
        return self._tracing.step(f"{telemetry.CHAT} {settings.model}", attributes, Kind.CLIENT)


class Attempt:
    """One provider's try at one prompt."""

    def __init__(self, meter: Meter, settings: ProviderSettings, span: Span) -> None:
        self._meter = meter
        self._span = span
        self._settings = settings
        self._labels = (telemetry.CHAT, settings.kind, settings.model)
        self._start = meter.clock()
        self._has_text = False
        self._finish: Finish | None = None
        self.error_type = ""

    def saw(self, piece: TextDelta | Finish) -> None:
        """Takes note of a piece of the answer."""
        if isinstance(piece, Finish):
            self._finish = piece
            self._span.set(telemetry.INPUT_TOKENS, piece.input_tokens)
            self._span.set(telemetry.OUTPUT_TOKENS, piece.output_tokens)
            self._span.set(telemetry.FINISH_REASON, piece.finish_reason)
            self._meter.tokens.labels(*self._labels, "input").observe(piece.input_tokens)
            self._meter.tokens.labels(*self._labels, "output").observe(piece.output_tokens)
        elif not self._has_text:
            self._has_text = True
            self._meter.first_tokens.labels(*self._labels).observe(self._meter.clock() - self._start)

    def note(self, escalation: Escalation) -> None:
        """Writes down the whole."""
        seconds = self._meter.clock() - self._start
        error_type = self.error_type or ("" if self._finish else "cancelled")
        self._meter.durations.labels(*self._labels, error_type).observe(seconds)
        _log.info(
            "escalation",
            request_id=escalation.request_id,
            agent=escalation.agent_id,
            data_class=str(escalation.data_class),
            provider=self._settings.name,
            tier=self._settings.tier,
            error_type=error_type,
            input_tokens=self._finish.input_tokens if self._finish else 0,
            output_tokens=self._finish.output_tokens if self._finish else 0,
            seconds=round(seconds, 3),
        )
