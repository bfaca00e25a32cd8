"""What was learnt, as people see it."""

from io import StringIO

from rich.console import Console

from contract.usage import CELLS
from hub.console.learning_views import buckets, chart, drift_chart
from seawall.hub.v1 import agent_pb2, round_pb2

WEEK = "2026-W47"


def shown(group: round_pb2.Report.GroupSums, begin: str = "") -> list[str]:
    written = StringIO()
    Console(width=120, file=written).print(chart(WEEK, group, begin, {"12": "a/versions/1"}))
    return written.getvalue().splitlines()


def sums(deviation: float, **counts: int) -> round_pb2.Report.GroupSums:
    values = dict.fromkeys(CELLS, 0) | {name.replace("_", ".", 1): count for name, count in counts.items()}
    return round_pb2.Report.GroupSums(contributors=64, cohorts=2, sums=values, standard_deviation=deviation)


def test_a_bar_is_as_long_as_its_count_and_none_is_below_nothing() -> None:
    lines = shown(sums(0.0, route_local=100, route_cache=50, route_escalated=-3), "route")
    bars = {line.split()[0]: line.count("█") for line in lines if "." in line.split(" ")[0]}
    assert (bars["route.local"], bars["route.cache"], bars["route.escalated"]) == (40, 20, 0)
    assert not any(line.startswith("class") for line in lines)


def test_what_may_be_noise_is_said_to_be() -> None:
    lines = shown(sums(10.0, route_local=100, route_cache=19), "route")
    assert "± 20" in lines[0]
    assert "64 agents in 2 cohorts" in lines[0]
    assert next(line for line in lines if line.startswith("route.cache")).rstrip().endswith("within the noise")
    assert "█" in next(line for line in lines if line.startswith("route.local"))


def drifted(*indices: float) -> round_pb2.Report.GroupSums:
    shifts = [round_pb2.Report.Shift(index=index, standard_deviation=0.02) for index in indices]
    return round_pb2.Report.GroupSums(drift=round_pb2.Report.Drift(directions=shifts[:-1], together=shifts[-1]))


def drift_lines(group: round_pb2.Report.GroupSums) -> list[str]:
    written = StringIO()
    Console(width=120, file=written).print(drift_chart("2026-W46", group))
    return [line.rstrip() for line in written.getvalue().splitlines()]


def test_a_drift_has_a_bar_as_long_as_its_index_and_what_noise_may_have_made_is_said_to_be_noise() -> None:
    lines = drift_lines(drifted(0.5, 0.039, -0.2, 0.05, 0.125))
    assert "2026-W46" in lines[0]
    assert all("± 0.040" in line for line in lines[1:])
    assert [line.count("█") for line in lines[1:]] == [40, 0, 0, 4, 10]
    assert [line.endswith("within the noise") for line in lines[1:]] == [False, True, True, False, False]


def test_where_all_is_small_a_bar_is_as_long_as_it_is_beside_a_change_of_all_topics() -> None:
    assert max(line.count("█") for line in drift_lines(drifted(0.05, 0.05, 0.05, 0.05, 0.05))) == 20


def test_where_nothing_can_be_said_of_drift_the_chart_says_why_and_its_cells_are_never_shown_as_counts() -> None:
    group = round_pb2.Report.GroupSums(no_drift_reason="there is no report of 2026-W46")
    assert drift_lines(group) == ["drift since 2026-W46: there is no report of 2026-W46"]
    assert not any(line.startswith("drift") for line in shown(sums(0.0, route_local=5)))


def test_models_are_named_as_far_as_agents_serve_them_now() -> None:
    digest = "sha256:c" + "0" * 63
    agent = agent_pb2.Agent(report=agent_pb2.AgentReport(model="models/a/versions/1", model_digest=digest))
    assert buckets([agent, agent, agent_pb2.Agent()]) == {"12": "a/versions/1"}
    lines = shown(sums(0.0, model_12=5, model_3=1), "model.")
    assert any(line.startswith("a/versions/1 ") for line in lines)
    assert any(line.startswith("unknown, bucket 3 ") for line in lines)


def test_a_title_says_who_and_at_what_price() -> None:
    group = sums(1.0)
    group.group.update({"model": "models/a/versions/1", "labels.region": ""})
    group.epsilon = 1.14
    assert "labels.region=unknown, model=models/a/versions/1" in shown(group)[0]
    assert "ε 1.14" in shown(group)[0]
    assert "no noise" in shown(sums(0.0))[0]
