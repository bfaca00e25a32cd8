"""`seawall-models calibrate`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from contract.calibration.fitting import Step
from contract.calibration.maps import CONFIDENCE, NO_CALIBRATIONS, SIMILARITY, Calibrations, read_calibrations
from contract.calibration.report import Report
from contract.errors import InvalidRequest, Reason
from contract.policy_bundle import CALIBRATION_FILE, POLICY_FILE

_SHOWN = {CONFIDENCE: (0.3, 0.5, 0.7, 0.9), SIMILARITY: (0.75, 0.8, 0.9, 0.95)}


def calibrate(
    sums: Annotated[list[Path], typer.Argument(help="What the hub has summed; several windows under one map count together.", exists=True)],
    policy: Annotated[
        Path, typer.Option(help="The folder of the signed policy, as it was published when they were summed.", exists=True, file_okay=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fits the next calibration to what the fleet has summed, and writes it beside the policy, to be looked at and signed with it."""
    if not (policy / POLICY_FILE).is_file():
        raise InvalidRequest(Reason.POLICY_INVALID, f"There is no {POLICY_FILE} in {policy}: name the folder that is published.")
    target = policy / CALIBRATION_FILE
    report = _together([Report.from_json(file.read_bytes()) for file in sums])
    step, calibrations = report.next_map(read_calibrations(target.read_bytes()) if target.exists() else NO_CALIBRATIONS)
    _replace(target, calibrations)
    if as_json:
        typer.echo(json.dumps(_said(step)))
        return
    _print(report, step)
    typer.echo(f"wrote {target}; next: seawall-models publish {policy} --role policies --name NAME --version VERSION --key KEY")


def _together(reports: list[Report]) -> Report:
    first = reports[0]
    if any((other.score, other.model, other.schema) != (first.score, first.model, first.schema) for other in reports):
        raise InvalidRequest(Reason.CALIBRATION_INVALID, "The files are of different figures, models or maps: fit one after the other.")
    return replace(first, cohorts=tuple(cohort for report in reports for cohort in report.cohorts))


def _replace(target: Path, calibrations: Calibrations) -> None:
    """A command that is cut off leaves the old file or the new one."""
    new = target.with_suffix(".new")
    new.write_bytes(calibrations.to_json())
    new.replace(target)


def _print(report: Report, step: Step) -> None:
    for place, why in sorted(step.discarded.items()):
        typer.echo(f"cohort {place + 1} of {len(report.cohorts)} is discarded: {why}")
    typer.echo(f"{step.answers} answers; the share of good ones was {step.mean_surprise:+.3f} beside what the map in force says")
    for figure in _SHOWN[report.score]:
        new, old = step.map.probability(figure), step.before.probability(figure)
        typer.echo(f"{report.score.name} {figure}: good with probability {new:.3f}, before {old:.3f}")
    if step.is_cut:
        typer.echo("The step is as long as one may be: publish it, have another window summed, and fit again.")


def _said(step: Step) -> dict[str, object]:
    return {
        "slope": step.map.slope,
        "offset": step.map.offset,
        "answers": step.answers,
        "mean_surprise": round(step.mean_surprise, 6),
        "is_cut": step.is_cut,
        "discarded": {place + 1: why for place, why in sorted(step.discarded.items())},
    }
