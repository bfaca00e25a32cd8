"""What the hub shows to Prometheus. No label grows with the fleet; what agents say of themselves is cut off at a few values."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog
from google.protobuf.message import DecodeError
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from contract.errors import SeawallError
from hub.clock import Clock
from hub.fleet.fleet import Fleet
from hub.measures import Calls, Distribution
from hub.store.census import Census, take
from hub.store.database import Database
from hub.store.rollout_states import UNHEARD
from seawall.hub.v1 import rollout_pb2
from seawall.hub.v1.agent_pb2 import AgentReport

CENSUS_SECONDS = 3.0
"""A scrape waits so long for the store; then it shows the rest, and that the store is away."""

MODELS = 20
"""So many models have a name; those that fewer agents run are `other`."""

_log = structlog.get_logger(__name__)


class Store:
    """Asks for the census from the metrics' thread. However many scrapes come, and however slow the store is, one question at a time.

    Args:
        database: asked in its own threads, beside the event loop.
        clock: the time, in UTC.
        loop: the hub's.
    """

    def __init__(self, database: Database, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self._database = database
        self._clock = clock
        self._loop = loop
        self._turn = threading.Lock()
        self._asked: Future[Census] | None = None

    def census(self) -> Census | None:
        """Returns the fleet by numbers; None: the store gives no answer."""
        with self._turn:
            if self._asked is None or self._asked.done():
                question = self._database.read(partial(take, now=self._clock()))
                self._asked = asyncio.run_coroutine_threadsafe(question, self._loop)
            asked = self._asked
        try:
            return asked.result(CENSUS_SECONDS)
        except (SeawallError, TimeoutError, CancelledError) as error:
            _log.warning("metrics without the store", error=type(error).__name__)
            return None


@dataclass(frozen=True, slots=True, eq=False)  # a registry tells collectors apart by what they are
class HubCollector:
    """Everything but what escalations take, which is `hub.escalation.metering`'s. Asked by Prometheus's client, in a thread of its own.

    Args:
        calls: by method.
        fleet: its sessions and events.
        census: asked for the agents and commands.
        circuits: returns which providers are cut off, by name.
        certificates: returns when those of the hub itself expire, by name.
    """

    calls: Calls
    fleet: Fleet
    census: Callable[[], Census | None]
    circuits: Callable[[], Mapping[str, bool]]
    certificates: Callable[[], Mapping[str, datetime]]

    def collect(self) -> Iterator[Metric]:
        """Reads all there is."""
        yield from _calls(self.calls)
        yield from _sessions(self.fleet)
        yield _by_label(CounterMetricFamily("seawall_hub_events", "Events of the fleet kept", labels=["type"]), self.fleet.journal.kept)
        open_circuits = {name: int(is_open) for name, is_open in self.circuits().items()}
        help_text = "1 while a provider is left alone after failures, until a prompt has tried it again"
        yield _by_label(GaugeMetricFamily("seawall_hub_circuit_open", help_text, labels=["provider"]), open_circuits)
        family = GaugeMetricFamily("seawall_hub_certificate_expire_time_seconds", "POSIX time", labels=["certificate"])
        yield _by_label(family, self._expiries())
        census = self.census()
        yield GaugeMetricFamily("seawall_hub_store_up", "1 if the store answered this scrape in time", value=float(census is not None))
        if census is not None:
            yield from _fleet(census)

    def _expiries(self) -> dict[str, int]:
        try:
            return {name: int(time.timestamp()) for name, time in self.certificates().items()}
        except SeawallError as error:  # such as while they are being replaced
            _log.warning("metrics without the hub's certificates", error=type(error).__name__)
            return {}


def _calls(calls: Calls) -> Iterator[Metric]:
    ended = CounterMetricFamily("seawall_hub_calls", "gRPC calls that have ended", labels=["method", "code"])
    for (method, code), count in dict(calls.ended).items():
        ended.add_metric([method, code], count)
    yield ended
    yield _by_label(GaugeMetricFamily("seawall_hub_calls_in_flight", "gRPC calls under way", labels=["method"]), calls.in_flight)
    seconds = HistogramMetricFamily("seawall_hub_call_duration_seconds", "Of gRPC calls that have ended", labels=["method"])
    for method, distribution in dict(calls.seconds).items():
        seconds.add_metric([method], distribution.cumulative(), distribution.total)
    yield seconds


def _sessions(fleet: Fleet) -> Iterator[Metric]:
    counts = fleet.sessions.counts
    yield GaugeMetricFamily("seawall_hub_sessions", "Agents connected to this hub process", value=len(fleet.sessions))
    yield CounterMetricFamily("seawall_hub_sessions_opened", "Sessions that agents have opened", value=counts.opened)
    yield _by_label(CounterMetricFamily("seawall_hub_sessions_ended", "Sessions that have ended", labels=["reason"]), counts.ended)
    yield CounterMetricFamily("seawall_hub_heartbeats", "Heartbeats answered", value=counts.heartbeats)
    yield _by_label(CounterMetricFamily("seawall_hub_deliveries", "Messages brought to agents", labels=["kind"]), counts.delivered)
    yield _whole(
        "seawall_hub_delivery_seconds", "From when something was due for a connected agent until it was sent", counts.delivery_seconds
    )
    yield _whole("seawall_hub_session_end_seconds", "From when the hub ended a session until it was closed", counts.end_seconds)


def _fleet(census: Census) -> Iterator[Metric]:
    agents = GaugeMetricFamily("seawall_hub_agents", "Enrolled agents, and how long they were not heard of", labels=["state", "silence"])
    silences: Counter[tuple[str, str]] = Counter()
    expiries, models = Counter[str](), Counter[str]()
    behind = 0
    for item in census.agents:
        silences[item.state, item.silence] += item.count
        if item.state == "ACTIVE":
            expiries[item.expiry] += item.count
            behind += 0 if item.is_applied else item.count
            models[_model(item.report)] += item.count
    for (state, silence), count in silences.items():
        agents.add_metric([state, silence], count)
    yield agents
    certificates = GaugeMetricFamily("seawall_hub_agent_certificates", "Of active agents, by the life left", labels=["life"])
    yield _by_label(certificates, expiries)
    yield _by_label(
        GaugeMetricFamily("seawall_hub_agent_models", "Active agents by the model they report", labels=["model"]), _most(models)
    )
    yield GaugeMetricFamily("seawall_hub_agents_behind", "Active agents that have not applied what is wanted of them", value=behind)
    yield _by_label(GaugeMetricFamily("seawall_hub_commands", "Commands not ended", labels=["state"]), census.commands)
    yield from _rollouts(census)


def _rollouts(census: Census) -> Iterator[Metric]:
    """Of each model the newest: one that was rolled back is seen until there is a newer one."""
    help_text = "The newest rollout of each model, by state and who brought it there: an operator, or the hub by itself"
    rollouts = GaugeMetricFamily("seawall_hub_rollouts", help_text, labels=["state", "by"])
    for state in rollout_pb2.Rollout.State.keys()[1:]:
        for by_itself, by in ((True, "hub"), (False, "operator")):
            rollouts.add_metric([state, by], census.rollouts.get((state, by_itself), 0))
    yield rollouts
    agents = GaugeMetricFamily("seawall_hub_rollout_agents", "Agents of these rollouts, by what they last reported", labels=["state"])
    reported = {state: census.rollout_agents.get(state, 0) for state in rollout_pb2.ReleaseReport.State.keys()[1:]}
    yield _by_label(agents, {"NOT_HEARD_OF": census.rollout_agents.get(UNHEARD, 0), **reported})


def _model(report: bytes | None) -> str:
    try:
        return AgentReport.FromString(report or b"").model or "unknown"
    except DecodeError:
        return "unknown"


def _most(models: Counter[str]) -> dict[str, int]:
    named = dict(models.most_common(MODELS))
    rest = models.total() - sum(named.values())
    return {**named, "other": rest} if rest else named


def _by_label(family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[str, int]) -> Metric:
    for label, value in dict(values).items():
        family.add_metric([label], value)
    return family


def _whole(name: str, text: str, distribution: Distribution) -> Metric:
    return HistogramMetricFamily(name, text, buckets=distribution.cumulative(), sum_value=distribution.total)
