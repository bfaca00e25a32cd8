"""seawall-hub learning."""

import sys
import uuid
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contract.calibration.maps import CONFIDENCE, NO_CALIBRATIONS, SAME, SIMILARITY, Calibrations, read_calibrations
from contract.errors import InvalidRequest, Reason
from contract.learning import windows_over
from contract.policy_bundle import CALIBRATION_FILE, POLICY_FILE
from contract.release import versions_of
from contract.roster_bundle import ROLE, newest_roster
from contract.secagg.roster import Roster
from contract.subjects import EMBEDDER
from hub.clock import utc_now
from hub.config import DEFAULT_DATA
from hub.console.learning_views import DRIFT, buckets, chart, drift_chart
from hub.console.options import Config, Data, Output, Shown, minute, print_all, print_one, reach
from hub.console.releases import published
from hub.operator import Operator
from seawall.hub.v1 import round_pb2

app = typer.Typer(
    help="Sums over the fleet: of use, and of how good answers are beside what a figure says; of agents together, and of none alone.",
    no_args_is_help=True,
)

Window = Annotated[str, typer.Option("--window", help="The week, such as 2026-W48. [default: the newest that is over]")]
By = Annotated[
    list[str] | None,
    typer.Option("--by", help="model, or labels.KEY such as labels.region; may be repeated. [default: nothing]"),
]

_DIGEST = "sha256:"
_MODELS = "models/"


class Of(StrEnum):
    """What a round sums."""

    USAGE = "usage"
    CONFIDENCE = "confidence"
    SIMILARITY = "similarity"


Summed = Annotated[
    Of,
    typer.Option(
        "--of",
        help="What is summed: counts of use; how good answers were beside their confidence; or, of what the cache gave to similar "
        "questions, beside how similar those were.",
    ),
]


@app.command("rounds", epilog="Example: seawall-hub learning rounds --output json")
def list_rounds(data: Data = DEFAULT_DATA, config: Config = None, output: Shown = Output.TABLE) -> None:
    """Lists rounds, the newest first: who was asked, who is in the sums or was late, why one failed; and whom the roster lacks."""
    with reach(data, config) as operator:
        first = operator.call(operator.learning.ListRounds, round_pb2.ListRoundsRequest(page_size=100))
        found, token = list(first.rounds), first.next_page_token
        if token:
            request = round_pb2.ListRoundsRequest(page_size=100, page_token=token)
            found += operator.pages(operator.learning.ListRounds, request, "rounds")
    heads = ("Round", "Of", "State", "Cohorts", "Asked", "In the sums", "Late or wrong", "Begun", "Why")
    print_all(found, output, heads, [_row(one) for one in found], f"times in UTC; {_fitting(first.roster_fit)}")


@app.command(
    "start",
    epilog="Example: seawall-hub learning start --by model --by labels.region; "
    "seawall-hub learning start --of confidence --model smollm2/versions/3 --policy fleet-policy; "
    "seawall-hub learning start --of similarity --policy fleet-policy",
)
def start_round(
    data: Data = DEFAULT_DATA,
    config: Config = None,
    window: Window = "",
    by: By = None,
    exact: Annotated[bool, typer.Option("--exact", help="Ask for sums without noise, which few agents allow.")] = False,
    of: Summed = Of.USAGE,
    model: Annotated[str, typer.Option("--model", help="Whose confidence: sha256:…, or a name as `agents list` has it.")] = "",
    policy: Annotated[
        Path | None,
        typer.Option(
            help="The folder of the signed policy in force, with its calibration. [default: none is in force]", exists=True, file_okay=False
        ),
    ] = None,
    output: Shown = Output.TABLE,
) -> None:
    """Begins a round: asks the agents that are connected, in cohorts that have what --by names in common."""
    if (of is Of.CONFIDENCE) != bool(model) or (of is Of.USAGE and policy is not None):
        raise InvalidRequest(
            Reason.FIELD_INVALID,
            "--of confidence takes --model, and --policy; --of similarity --policy alone; a round of use takes neither.",
        )
    with reach(data, config) as operator:
        confidence = _confidence(operator, model, policy) if of is Of.CONFIDENCE else None
        similarity = _similarity(policy) if of is Of.SIMILARITY else None
        wanted = round_pb2.Round(window=window, group_by=by or [], exact=exact, confidence=confidence, similarity=similarity)
        request = round_pb2.CreateRoundRequest(round=wanted, request_id=str(uuid.uuid4()))
        made = operator.call(operator.learning.CreateRound, request)
    if output is Output.JSON:
        print_one(made, output)
        return
    typer.echo(f"{made.name} begins. To see what becomes of it: seawall-hub learning rounds")


@app.command("report", epilog="Example: seawall-hub learning report --by model --against 2026-W40")
def report(
    data: Data = DEFAULT_DATA,
    config: Config = None,
    window: Window = "",
    by: By = None,
    cells: Annotated[str, typer.Option("--cells", help="Only cells that begin so. Example: --cells confidence")] = "",
    against: Annotated[str, typer.Option("--against", help="The week that prompts are held against. [default: the week before]")] = "",
    output: Shown = Output.TABLE,
) -> None:
    """Shows usage, quality and drift of a week, by what the rounds were grouped by; what noise may have made is said to be so."""
    week = window or windows_over(utc_now())[0]
    other = f"reports/{against}" if against else ""
    request = round_pb2.GetReportRequest(name=f"reports/{week}", group_by=by or [], against=other)
    with reach(data, config) as operator:
        found = operator.call(operator.learning.GetReport, request)
        names = {} if output is Output.JSON else buckets(operator.list_agents())
    if output is Output.JSON:
        print_one(found, output)
        return
    if not found.groups:
        typer.echo(f"Nothing was learnt of {week} yet. seawall-hub learning rounds says why, seawall-hub learning start asks.")
    for group in found.groups:
        Console().print(chart(week, group, cells, names))
        if DRIFT.startswith(cells) or cells.startswith(DRIFT):
            Console().print(drift_chart(found.against.removeprefix("reports/"), group))


@app.command(
    "sums",
    epilog="Example: seawall-hub learning sums 2026-w48-0123abcd > sums.json; seawall-models calibrate sums.json --policy fleet-policy",
)
def print_sums(
    name: Annotated[str, typer.Argument(metavar="ROUND", help="A round of confidence or similarity, as `learning rounds` names it.")],
    data: Data = DEFAULT_DATA,
    config: Config = None,
) -> None:
    """Prints what a round of confidence or similarity came to, by cohort: whoever signs policies fits the next calibration to it."""
    with reach(data, config) as operator:
        found = operator.call(operator.learning.GetSums, round_pb2.GetSumsRequest(name=f"rounds/{name}"))
    sys.stdout.write(found.content.decode())


@app.command("roster", epilog="Example: seawall-hub learning roster > roster.json, then sign it where the key of rosters is")
def propose_roster(
    data: Data = DEFAULT_DATA,
    config: Config = None,
    name: Annotated[str, typer.Option("--name", help="Of the roster that agents follow.")] = "fleet",
    expression: Annotated[str, typer.Option("--expression", help="Which agents, such as 'labels.site = oslo'. [default: all]")] = "",
) -> None:
    """Prints a roster of the enrolled agents and their keys, to be looked at and signed off the hub: whoever signs it vouches for each."""
    chosen = f"state = ACTIVE AND ({expression})" if expression else "state = ACTIVE"
    with reach(data, config) as operator:
        found = operator.list_agents(chosen)
        version = _newest(operator, name) + 1
    members = {agent.name.removeprefix("agents/"): agent.member_key_hash for agent in found if agent.member_key_hash}
    if not members:
        raise InvalidRequest(
            Reason.ROSTER_INVALID,
            f"Of {len(found)} agents none has said a member key, so there is no roster: they do once [learning] is enabled on the device.",
        )
    sys.stdout.write(Roster(version, members).to_json().decode())
    sign = f"seawall-models publish --role {ROLE} --name {name} --key KEY --hub HOST:PORT roster.json"
    without = f" {len(found) - len(members)} more have said no member key." if len(found) > len(members) else ""
    typer.echo(f"{len(members)} agents, version {version}.{without} Look at it, then sign it: {sign}", err=True)


def _confidence(operator: Operator, model: str, policy: Path | None) -> round_pb2.Round.Confidence:
    digest = model if model.startswith(_DIGEST) else _digest_of(operator, model.removeprefix(_MODELS))
    in_force = _calibrations(policy).of(CONFIDENCE, digest) or SAME
    return round_pb2.Round.Confidence(model_digest=digest, slope=in_force.slope, offset=in_force.offset)


def _similarity(policy: Path | None) -> round_pb2.Round.Similarity:
    in_force = _calibrations(policy).of(SIMILARITY, EMBEDDER) or SAME
    return round_pb2.Round.Similarity(embedder_digest=EMBEDDER, slope=in_force.slope, offset=in_force.offset)


def _calibrations(policy: Path | None) -> Calibrations:
    """Returns the maps in a policy's folder, which may have none; without a folder, none are in force."""
    if policy is None:
        return NO_CALIBRATIONS
    if not (policy / POLICY_FILE).is_file():
        raise InvalidRequest(Reason.POLICY_INVALID, f"There is no {POLICY_FILE} in {policy}: name the folder that was published.")
    file = policy / CALIBRATION_FILE
    return read_calibrations(file.read_bytes()) if file.exists() else NO_CALIBRATIONS


def _digest_of(operator: Operator, name: str) -> str:
    """Returns the digest of the model that agents know by a name."""
    reports = [agent.report for agent in operator.list_agents()]
    found = {report.model_digest for report in reports if report.model.removeprefix(_MODELS) == name}
    if len(found) != 1:
        raise InvalidRequest(
            Reason.FIELD_INVALID,
            f"{len(found)} models of agents are called '{name[:80]}': give the digest, sha256:…, as agents list --output json has it.",
        )
    return found.pop()


def _newest(operator: Operator, name: str) -> int:
    """Returns the newest version that was published; 0: none was."""
    return newest_roster(versions_of((row["path"] for row in published(operator)), ROLE, name))


def _fitting(fits: round_pb2.RosterFit) -> str:
    """Says how the newest roster fits the fleet."""
    if not fits.version:
        return f"no roster that can be used is published ({fits.reason}), and {fits.agents} agents have a member key: see learning roster"
    if not fits.missing:
        return f"roster {fits.version} has all {fits.agents} agents with a member key"
    return f"roster {fits.version} lacks {fits.missing} of {fits.agents} agents with a member key, which sit out: see learning roster"


def _row(one: round_pb2.Round) -> tuple[str, ...]:
    lost: Counter[str] = Counter()
    for cohort in one.cohorts:
        lost.update(cohort.lost)
    reasons = sorted({one.reason, *(cohort.reason for cohort in one.cohorts)} - {""})
    return (
        one.name.removeprefix("rounds/"),
        one.WhichOneof("subject") or str(Of.USAGE),
        round_pb2.Round.State.Name(one.state),
        str(len(one.cohorts)),
        str(sum(cohort.size for cohort in one.cohorts)),
        str(sum(cohort.contributors for cohort in one.cohorts)),
        ", ".join(f"{count} {stage.lower()}" for stage, count in lost.items() if count),
        minute(one.create_time),
        ", ".join(reasons),
    )
