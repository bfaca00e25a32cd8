"""What escalations take: time and tokens, by provider. Never a word of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import CollectorRegistry, Histogram

from contract import telemetry
from hub.config import ProviderSettings
from hub.escalation.prompts import Escalation, Finish, TextDelta
from hub.escalation.providers.base import ProviderFailed

ERROR_TYPE = "error.type"
TOKEN_BUCKETS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
"""What the conventions advise for gen_ai.client.token.usage."""

_LABELS = [telemetry.label(name) for name in (telemetry.OPERATION_NAME, telemetry.PROVIDER_NAME, telemetry.REQUEST_MODEL)]

_log = structlog.get_logger(__name__)


class Meter:
    """Measures answers as they pass.

    Args:
        registry: of the metrics.
        clock: monotonic, in seconds.
    """

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.durations = Histogram(
            telemetry.CLIENT_OPERATION_DURATION_SECONDS,
            "From the request to the answer's end, or to the error",
            [*_LABELS, telemetry.label(ERROR_TYPE)],
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
        attempt = Attempt(self, settings)
        try:
            yield attempt
        except ProviderFailed as error:
            attempt.error_type = error.error_type
            raise
        finally:
            attempt.note(escalation)


class Attempt:
    """One provider's try at one prompt."""

    def __init__(self, meter: Meter, settings: ProviderSettings) -> None:
        self._meter = meter
        self._settings = settings
        self._labels = ("chat", settings.kind, settings.model)
        self._start = meter.clock()
        self._has_text = False
        self._finish: Finish | None = None
        self.error_type = ""

    def saw(self, piece: TextDelta | Finish) -> None:
        """Takes note of a piece of the answer."""
        if isinstance(piece, Finish):
            self._finish = piece
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
