"""What the agent counts. Labels come from small fixed sets; prompt text is never one."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from contract import telemetry as names
from contract.errors import Reason
from contract.receipts import Receipt


class Metrics:
    """The agent's metrics.

    Args:
        registry: where they are kept; a new one in each test.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._duration = Histogram(
            names.OPERATION_DURATION_SECONDS,
            "Time from a prompt's arrival to its answer's end.",
            ["seawall_route"],
            buckets=names.DURATION_BUCKETS_SECONDS,
            registry=registry,
        )
        self._first_token = Histogram(
            names.TIME_TO_FIRST_TOKEN_SECONDS,
            "Time from a prompt's arrival to the first text given to the client.",
            buckets=names.DURATION_BUCKETS_SECONDS,
            registry=registry,
        )
        self._tokens = Counter(
            names.CLIENT_TOKEN_USAGE,
            "Tokens of prompts and answers.",
            ["seawall_route", names.label(names.TOKEN_TYPE)],
            registry=registry,
        )
        self._answers = Counter(
            "seawall_agent_answers",
            "Answers given.",
            ["seawall_route", "data_class", "provisional"],
            registry=registry,
        )
        self._refusals = Counter("seawall_agent_refusals", "Prompts refused.", ["reason"], registry=registry)
        self._confidence = Histogram(
            "seawall_agent_confidence",
            "Judged confidence of local answers.",
            buckets=[step / 10 for step in range(1, 11)],
            registry=registry,
        )
        self.hub_connected = Gauge("seawall_agent_hub_connected", "1 while the channel to the hub is ready.", registry=registry)
        self.session_open = Gauge("seawall_agent_session_open", "1 while the hub has welcomed this agent.", registry=registry)
        self._sessions_ended = Counter("seawall_agent_sessions_ended", "Sessions that ended.", ["reason"], registry=registry)
        self.generation = Gauge("seawall_agent_generation", "Of the desired state that is applied; 0: none.", registry=registry)
        self.certificate_expiry = Gauge(
            "seawall_agent_certificate_expire_time_seconds",
            "End of the certificate's life, POSIX time; 0: not enrolled.",
            registry=registry,
        )

    def first_token(self, seconds: float) -> None:
        """Counts the first text of an answer."""
        self._first_token.observe(seconds)

    def answered(self, receipt: Receipt, input_tokens: int, output_tokens: int) -> None:
        """Counts an answer."""
        self._duration.labels(receipt.route).observe(receipt.milliseconds / 1000)
        self._answers.labels(receipt.route, receipt.data_class, str(receipt.provisional).lower()).inc()
        self._tokens.labels(receipt.route, "input").inc(input_tokens)
        self._tokens.labels(receipt.route, "output").inc(output_tokens)
        if receipt.confidence is not None and receipt.route != "cache":
            self._confidence.observe(receipt.confidence)

    def refused(self, reason: Reason) -> None:
        """Counts a prompt that was refused."""
        self._refusals.labels(reason.value).inc()

    def session_ended(self, why: str) -> None:
        """Counts a session, or a try to open one, that has ended."""
        self.session_open.set(0)
        self._sessions_ended.labels(why).inc()
