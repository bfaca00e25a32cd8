"""What was learnt, for people: a chart of each family of counts."""

from collections.abc import Iterable, Mapping
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from contract.usage import CELLS, model_bucket
from hub.console.options import plain
from seawall.hub.v1 import agent_pb2, round_pb2

BAR_WIDTH = 40
DEVIATIONS = 2
"""What is nearer to nothing than so many standard deviations of the noise may be nothing (95 %)."""

DRIFT = "drift"
"""Cells of this name say where prompts lie. Alone they say nothing to people: `drift_chart` holds those of two weeks against each other."""
WHOLE = 0.1
"""About what the index comes to where all prompts change from one topic to another: `python -m benchmarks.drift`."""

_MODEL = "model."


def buckets(agents: Iterable[agent_pb2.Agent]) -> dict[str, str]:
    """Returns which models that agents serve now fall into which bucket."""
    found: dict[str, set[str]] = {}
    for agent in agents:
        bucket = model_bucket(agent.report.model_digest)
        if bucket is not None:
            found.setdefault(str(bucket), set()).add(agent.report.model.removeprefix("models/"))
    return {bucket: ", ".join(sorted(names)) for bucket, names in found.items()}


def chart(window: str, group: round_pb2.Report.GroupSums, begin: str, models: Mapping[str, str]) -> RenderableType:
    """Returns the counts of a group, a table for each family.

    Args:
        window: the week.
        group: its sums.
        begin: of the cells that are wanted.
        models: names of models' buckets.
    """
    shown = [cell for cell in CELLS if cell.startswith(begin) and cell in group.sums and _family(cell) != DRIFT]
    parts: list[RenderableType] = [Text(plain(_title(window, group)), style="bold")]
    for family, cells in groupby(shown, _family):
        parts.append(_table(family, list(cells), group, models))
    return Group(*parts)


def drift_chart(against: str, group: round_pb2.Report.GroupSums) -> RenderableType:
    """Returns how far the prompts of a group have moved since another week: of each direction, and of all together."""
    if not group.HasField("drift"):
        return Text(plain(f"{DRIFT} since {against}: {group.no_drift_reason}"))
    heads = Column(plain(f"{DRIFT} since {against}"), min_width=20), Column("index", justify="right"), Column("", justify="right")
    table = Table(*heads, "", box=None, pad_edge=False)
    rows = [*((f"direction {number}", shift) for number, shift in enumerate(group.drift.directions)), ("together", group.drift.together)]
    top = max(WHOLE, *(shift.index for _, shift in rows))
    for name, shift in rows:
        noise, bar = DEVIATIONS * shift.standard_deviation, "█" * round(BAR_WIDTH * shift.index / top)
        table.add_row(name, f"{shift.index:.3f}", f"± {noise:.3f}", "within the noise" if shift.index < noise else bar)
    return table


def _title(window: str, group: round_pb2.Report.GroupSums) -> str:
    who = ", ".join(f"{name}={value or 'unknown'}" for name, value in sorted(group.group.items())) or "all"
    cost = f"ε {group.epsilon:.3g}" if group.HasField("epsilon") else "no noise"
    deviation = f"± {DEVIATIONS * group.standard_deviation:,.0f}"
    return f"{window}, {who}: {group.contributors} agents in {group.cohorts} cohorts, each count {deviation}, {cost}"


def _table(family: str, cells: list[str], group: round_pb2.Report.GroupSums, models: Mapping[str, str]) -> Table:
    table = Table(Column(family, min_width=20), Column("answers", justify="right"), "", box=None, pad_edge=False)
    top = max((group.sums[cell] for cell in cells), default=0)
    for cell in cells:
        count = group.sums[cell]
        bar = "█" * round(BAR_WIDTH * max(count, 0) / top) if top > 0 else ""
        may_be_nothing = abs(count) < DEVIATIONS * group.standard_deviation
        table.add_row(plain(_label(cell, models)), f"{count:,}", "within the noise" if may_be_nothing else bar)
    return table


def _family(cell: str) -> str:
    return cell.rpartition(".")[0].partition(".")[0] or cell


def _label(cell: str, models: Mapping[str, str]) -> str:
    if not cell.startswith(_MODEL):
        return cell
    bucket, _, rest = cell.removeprefix(_MODEL).partition(".")
    return " ".join(filter(None, (models.get(bucket, f"unknown, bucket {bucket}"), rest)))
