"""What the agent counts. Labels come from small fixed sets; prompt text is never one."""

from collections.abc import Callable
from time import monotonic

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from contract import telemetry as names
from contract.errors import Reason
from contract.receipts import CACHED, SIMILAR, Receipt, is_similar


class Metrics:
    """The agent's metrics.

    Args:
        registry: where they are kept; a new one in each test.
        clock: monotonic, in seconds.
    """

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = monotonic) -> None:
        self.registry = registry
        self._clock = clock
        self._create_answers(registry)
        self._create_fleet(registry)

    def _create_answers(self, registry: CollectorRegistry) -> None:
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
        for reason in (Reason.QUEUE_FULL, Reason.INTERNAL, Reason.STORE_UNAVAILABLE):  # there from the start: an increase from 0 is seen
            self._refusals.labels(reason.value)
        self._confidence = Histogram(
            "seawall_agent_confidence",
            "Judged confidence of local answers.",
            buckets=[step / 10 for step in range(1, 11)],
            registry=registry,
        )
        self._recalls = Counter("seawall_agent_recalls", "Answers from the cache, by how they were found.", ["found"], registry=registry)
        for found in (CACHED, SIMILAR):
            self._recalls.labels(found)
        self._similar_refusals = Counter(
            "seawall_agent_similar_refusals", "Similar questions whose answers were not given.", ["rule"], registry=registry
        )
        self._escalations = Counter("seawall_agent_escalations", "Prompts that the hub was asked for.", ["outcome"], registry=registry)
        self._follow_ups = Counter("seawall_agent_follow_ups", "What came of provisional answers later.", ["outcome"], registry=registry)
        self.follow_ups_waiting = Gauge("seawall_agent_follow_ups_waiting", "Prompts that wait for a better answer.", registry=registry)

    def _create_fleet(self, registry: CollectorRegistry) -> None:
        ProcessCollector(registry=registry)
        self._info = Gauge("seawall_agent_info", "Always 1: what runs here.", ["version", "model"], registry=registry)
        self._mqtt_connected = Gauge("seawall_agent_mqtt_connected", "1 while prompts can come over MQTT.", registry=registry)
        self.hub_connected = Gauge("seawall_agent_hub_connected", "1 while the channel to the hub is ready.", registry=registry)
        self.session_open = Gauge("seawall_agent_session_open", "1 while the hub has welcomed this agent.", registry=registry)
        self._sessions_ended = Counter("seawall_agent_sessions_ended", "Sessions that ended.", ["reason"], registry=registry)
        self._session_gap = Histogram(
            "seawall_agent_session_gap_seconds",
            "From a session's end until the next one is open.",
            buckets=names.GAP_BUCKETS_SECONDS,
            registry=registry,
        )
        self._heartbeats = Histogram(
            "seawall_agent_heartbeat_seconds",
            "From a heartbeat until the hub has answered it.",
            buckets=names.HEARTBEAT_BUCKETS_SECONDS,
            registry=registry,
        )
        self._is_open = False
        self._session_lost: float | None = None
        self.generation = Gauge("seawall_agent_generation", "Of the desired state that is applied; 0: none.", registry=registry)
        self.update_done = Gauge("seawall_agent_update_done_bytes", "Of the version that is fetched, here already.", registry=registry)
        self.update_total = Gauge("seawall_agent_update_total_bytes", "Of the version that is fetched; 0: none is.", registry=registry)
        self._rollouts = Counter("seawall_agent_rollout_states", "States that rollouts have come to here.", ["state"], registry=registry)
        for state in ("proven", "refused", "rolled_back"):  # there from the start: an increase from 0 is seen
            self._rollouts.labels(state)
        self.certificate_expiry = Gauge(
            "seawall_agent_certificate_expire_time_seconds",
            "End of the certificate's life, POSIX time; 0: not enrolled.",
            registry=registry,
        )

    def describe(self, version: str, model: str, mqtt_connected: Callable[[], bool]) -> None:
        """Says what runs here, and how to see whether the broker is there."""
        self._info.labels(version, model).set(1)
        self._mqtt_connected.set_function(lambda: float(mqtt_connected()))

    def first_token(self, seconds: float) -> None:
        """Counts the first text of an answer."""
        self._first_token.observe(seconds)

    def answered(self, receipt: Receipt, input_tokens: int, output_tokens: int) -> None:
        """Counts an answer."""
        self._duration.labels(receipt.route).observe(receipt.milliseconds / 1000)
        self._answers.labels(receipt.route, receipt.data_class, str(receipt.provisional).lower()).inc()
        self.took(receipt.route, input_tokens, output_tokens)
        if receipt.route == "cache":
            self._recalls.labels(SIMILAR if is_similar(receipt.route, receipt.reasons) else CACHED).inc()
        if receipt.route == "escalated" or receipt.provisional:
            self._escalations.labels(receipt.reasons[-1] if receipt.provisional and receipt.reasons else "answered").inc()
        if receipt.confidence is not None and receipt.route != "cache":
            self._confidence.observe(receipt.confidence)

    def similar_refused(self, rule: str) -> None:
        """Counts a similar question whose answer was not given."""
        self._similar_refusals.labels(rule).inc()

    def took(self, route: str, input_tokens: int, output_tokens: int) -> None:
        """Counts tokens."""
        self._tokens.labels(route, "input").inc(input_tokens)
        self._tokens.labels(route, "output").inc(output_tokens)

    def followed_up(self, outcome: str, count: int = 1) -> None:
        """Counts prompts that waited for a better answer and no longer do."""
        self._follow_ups.labels(outcome).inc(count)

    def refused(self, reason: Reason) -> None:
        """Counts a prompt that was refused."""
        self._refusals.labels(reason.value).inc()

    def rollout_came_to(self, state: str) -> None:
        """Counts a new state of a rollout on this device."""
        self._rollouts.labels(state).inc()

    def heartbeat_answered(self, seconds: float) -> None:
        """Counts a heartbeat that the hub has answered."""
        self._heartbeats.observe(seconds)

    def session_opened(self) -> None:
        """Says that the hub has welcomed this agent."""
        if self._session_lost is not None:
            self._session_gap.observe(self._clock() - self._session_lost)
        self._is_open = True
        self.session_open.set(1)

    def session_ended(self, why: str) -> None:
        """Counts a session, or a try to open one, that has ended."""
        if self._is_open:
            self._is_open, self._session_lost = False, self._clock()
        self.session_open.set(0)
        self._sessions_ended.labels(why).inc()
