"""Rollouts for people: tables, and lines."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from hub.console.options import minute, plain
from seawall.hub.v1 import rollout_pb2

HEADS = ("Wave", "Agents", "Waiting", "Under way", "Proven", "Failed", "Stuck", "Gone back", "Stands")


def state_of(rollout: rollout_pb2.Rollout) -> str:
    """Returns the state's name."""
    return rollout_pb2.Rollout.State.Name(rollout.state)


def summary(rollout: rollout_pb2.Rollout) -> str:
    """Returns a rollout in a line."""
    counted = [f"wave {number}: {_counted(wave)}" for number, wave in enumerate(rollout.progress) if wave.HasField("begin_time")]
    reason = f" ({rollout.state_reason})" if rollout.state_reason else ""
    return plain(f"{rollout.name} {state_of(rollout)}{reason} {'; '.join(counted)}".rstrip())


def table(rollout: rollout_pb2.Rollout) -> Table:
    """Returns a rollout with its waves."""
    lines = [f"{rollout.name}: {rollout.model_version}, {state_of(rollout)}", rollout.state_reason]
    title = Text("\n".join(plain(line) for line in lines if line))
    result = Table(*HEADS, title=title, title_justify="left", caption="waves count from 0; times in UTC")
    for number, wave in enumerate(rollout.progress):
        numbers = (wave.agents, wave.waiting, wave.under_way, wave.proven, wave.failed, wave.stuck, wave.rolled_back)
        result.add_row(str(number), *(str(count) for count in numbers), _stands(rollout, number))
    return result


def agent_row(agent: rollout_pb2.RolloutAgent) -> Sequence[str]:
    """Returns one agent as a row."""
    report = agent.report
    state = rollout_pb2.ReleaseReport.State.Name(report.state) if agent.HasField("report") else "not heard of"
    figure = report.failed_figure
    failed = f"{figure} {report.figures.get(figure, 0):.4g}, limit {report.limits.get(figure, 0):.4g}" if figure else ""
    fetched = f"{report.done_bytes * 100 // report.total_bytes} %" if report.total_bytes else ""
    said = " ".join(part for part in (failed, fetched, report.detail) if part)
    time = minute(agent.report_time) if agent.HasField("report_time") else ""
    return agent.agent, str(agent.wave), f"{state}, stuck" if agent.stuck else state, said, time


def _counted(wave: rollout_pb2.WaveProgress) -> str:
    names = ("waiting", "under_way", "proven", "failed", "stuck", "rolled_back")
    parts = [f"{getattr(wave, name)} {name.replace('_', ' ')}" for name in names if getattr(wave, name)]
    return f"{', '.join(parts) or 'none told'} of {wave.agents}"


def _stands(rollout: rollout_pb2.Rollout, number: int) -> str:
    wave = rollout.progress[number]
    if wave.HasField("end_time"):
        return f"through {minute(wave.end_time)}"
    if wave.HasField("settle_time"):
        return f"soaks since {minute(wave.settle_time)}"
    if wave.HasField("begin_time"):
        return f"since {minute(wave.begin_time)}"
    return "waits for approval" if rollout.waves[number].needs_approval else "to come"
