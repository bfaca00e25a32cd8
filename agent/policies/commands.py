"""`seawall-agent policy`."""

import asyncio
import json
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from agent.classify import Classifier
from agent.config import AgentSettings
from agent.config_file import load_settings
from agent.detection.memory import Memory
from agent.detection.opening import open_detector
from agent.known_hub import KnownHub
from agent.logs import set_up_logs
from agent.options import Config
from agent.policies.facts import Given, read_classification, read_hub, read_seconds
from agent.policies.in_force import Chosen, choose
from agent.policies.opening import kept_policy, take_policy
from agent.policies.replay import Replayed, Tally, replay
from agent.state import StateFolder
from agent.store.audit import ReceiptStore
from agent.store.database import Database
from contract.calibration.maps import CONFIDENCE, Calibrations, Fitted
from contract.classification import Classification
from contract.decision import Verdict
from contract.errors import InvalidRequest, Reason
from contract.policy import Policy
from contract.surroundings import Hub, Surroundings

app = typer.Typer(no_args_is_help=True, help="See, try and compare what may be done with prompts here.")
_out = Console(width=None if sys.stdout.isatty() else 200, markup=False, highlight=False)

PolicyFile = Annotated[Path, typer.Argument(help="A file of Cedar policies; see docs/policy.md.", exists=True, dir_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog="Example: seawall-agent policy show")
def show(as_json: AsJson = False, config: Config = None) -> None:
    """Print the policy that the configuration puts in force, and where it comes from."""
    settings = load_settings(config)
    chosen = _chosen(settings)
    if as_json:
        said = {
            "origin": chosen.origin,
            "name": chosen.name,
            "digest": chosen.policy.digest,
            "trouble": chosen.trouble,
            "text": chosen.text,
            "calibrations": json.loads(chosen.calibrations.to_json())["maps"],
        }
        print(json.dumps(said))
        return
    _out.print(f"// {chosen.origin}, {chosen.policy.digest}", soft_wrap=True)
    if chosen.trouble:
        _out.print(f"// wrong: {chosen.trouble}", soft_wrap=True)
    for item in chosen.calibrations.fitted:
        _out.print(f"// {_calibration(item, settings)}", soft_wrap=True)
    _out.print(chosen.text, soft_wrap=True)


@app.command("test", epilog="Example: seawall-agent policy test site.cedar --prompt 'Mail anna@example.org' --region de-fra")
def try_policy(
    file: PolicyFile,
    prompt: Annotated[str, typer.Option(help="It is classified as a real one, and goes nowhere.")] = "",
    data_class: Annotated[str, typer.Option("--class", help="Instead of what the classifier says. Example: --class internal")] = "",
    kinds: Annotated[str, typer.Option(help="Of data in it. Example: --kinds EMAIL_ADDRESS,PERSON")] = "",
    region: Annotated[str, typer.Option(help="Of the site, instead of the configuration's. Example: --region de-fra")] = "",
    intake: Annotated[str, typer.Option(help="http or mqtt. Example: --intake mqtt")] = "",
    hub: Annotated[str, typer.Option(help="REGION,OPERATOR of the hub, instead of what it said last. Example: --hub de-fra,acme")] = "",
    provider: Annotated[
        list[str] | None,
        typer.Option(help="NAME,TIER,REGION,OPERATOR,RETENTION_DAYS; may be repeated. Example: --provider c,public,us,x,30"),
    ] = None,
    latency_milliseconds: Annotated[int | None, typer.Option(min=0, help="That the answer may take. [default: nobody has said]")] = None,
    budget_tokens: Annotated[int | None, typer.Option(min=0, help="That are left to spend. [default: not known]")] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Explain what a policy decides of a prompt: each action, the policies that spoke, and why one failed."""
    settings = load_settings(config)
    policy = Policy(_read(file))
    detector = open_detector(settings.privacy.phone_regions, _chosen(settings).recognizers)
    classifier = Classifier(detector, Memory(secrets.token_bytes(32)), settings.privacy.floor)
    found = read_classification(Given(prompt, data_class, kinds), classifier)
    agent_id, known = _known(settings)
    around = Surroundings(
        settings.site.name,
        region or settings.site.region,
        intake,
        read_hub("hub", hub, provider or (), known),
        can_redact=True,
        latency_milliseconds=latency_milliseconds,
        budget_tokens=budget_tokens,
    )
    verdicts = policy.explain(agent_id, found, around)
    if as_json:
        print(json.dumps({"class": str(found.data_class), "kinds": found.kinds, "verdicts": [asdict(verdict) for verdict in verdicts]}))
        return
    _explain(found, around, verdicts)


@app.command("replay", epilog="Example: seawall-agent policy replay site.cedar --since 7d")
def replay_command(
    file: PolicyFile,
    since: Annotated[str, typer.Option(help="How far back. Example: --since 12h")] = "7d",
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Decide again on the prompts that were answered here, by their receipts, and print what a policy would change."""
    settings = load_settings(config)
    other, seconds = Policy(_read(file)), read_seconds(since)
    agent_id, hub = _known(settings)
    around = Surroundings(settings.site.name, settings.site.region, hub=hub)
    receipts = asyncio.run(_receipts(StateFolder(settings.state_folder), time.time() - seconds))
    result = replay(receipts, agent_id, around, _chosen(settings).policy, other)
    if as_json:
        print(json.dumps(asdict(result)))
    else:
        _print_replay(result, hub)


@app.command(epilog="Example: seawall-agent policy update, or from a USB stick: seawall-agent policy update --from /media/stick")
def update(
    source: Annotated[
        str, typer.Option("--from", help="'hub', a mirror's https:// address, or a folder. Default: what the configuration says.")
    ] = "",
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Take a newer version of the signed policy that the configuration names. A running agent has it in force within seconds."""
    set_up_logs("error")
    settings = load_settings(config)
    taken = asyncio.run(take_policy(settings, StateFolder(settings.state_folder), source))
    if as_json:
        print(json.dumps(asdict(taken)))
    else:
        _out.print(f"{taken.name} is taken." if taken.changed else f"Nothing newer: {taken.name} is here.", soft_wrap=True)


def _calibration(fitted: Fitted, settings: AgentSettings) -> str:
    of_answers = fitted.score == CONFIDENCE
    section, bar = ("trust", settings.trust.calibrated_bar) if of_answers else ("cache", settings.cache.calibrated_bar)
    whose = f"calibration of the {fitted.score.name} of {fitted.model}, from {fitted.answers} answers"
    if bar is None:
        return f"{whose}: not used, since [{section}] calibrated_bar is not set"
    if not of_answers and not settings.cache.similar:
        return f"{whose}: not used, since [cache] similar is off"
    own = settings.trust.confidence() if of_answers else settings.cache.similarity()
    least = own.bar_for(fitted.model, Calibrations((fitted,)))
    return f"{whose}: {bar} is asked for there, so that a {fitted.score.name} from {least:.2f} on is enough"


def _chosen(settings: AgentSettings) -> Chosen:
    return choose(settings, kept_policy(StateFolder(settings.state_folder)))


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(Reason.POLICY_INVALID, f"The policy file {file} cannot be read: {error}.") from error


def _known(settings: AgentSettings) -> tuple[str, Hub | None]:
    """Returns this agent's id, and the hub as far as it is known."""
    state = StateFolder(settings.state_folder)
    if not state.identity.enrolled:
        return settings.agent_id, None
    identity = state.identity.read()
    return identity.agent_id, KnownHub(state.known_hub, identity).hub


async def _receipts(state: StateFolder, begin: float) -> list[dict[str, Any]]:
    if not state.database.exists():
        return []
    database = Database(state.database)
    try:
        return await ReceiptStore(database, age_seconds=0).since(begin)
    finally:
        database.close()


def _explain(found: Classification, around: Surroundings, verdicts: tuple[Verdict, ...]) -> None:
    _out.print(f"class {found.data_class}, kinds {', '.join(found.kinds) or 'none'}")
    if around.hub is None:
        _out.print("The hub is not known here, so nothing may leave: describe one with --hub and --provider.")
    rows = [
        (
            verdict.action,
            verdict.resource,
            "redacted" if verdict.redacted else "as it is",
            "yes" if verdict.allowed else "no",
            ", ".join(verdict.policy_ids),
            "; ".join(verdict.errors),
        )
        for verdict in verdicts
    ]
    _table(("action", "to", "prompt", "allowed", "policies", "failed because"), rows)


def _print_replay(result: Replayed, hub: Hub | None) -> None:
    _out.print(f"{result.prompts} prompts")
    if hub is None:
        _out.print("The hub is not known here, so no policy lets anything leave.")
    sides = (("recorded", result.recorded), ("policy in force", result.in_force), ("the file", result.other))
    _table(("", "escalated", "tokens", "denied", "kept"), [_tally_row(name, tally) for name, tally in sides])
    if result.changes:
        rows = [
            (
                item.data_class,
                ", ".join(item.data_kinds),
                str(item.prompts),
                item.before,
                item.after,
                f"{item.escalations:+d}",
                f"{item.tokens:+d}",
            )
            for item in result.changes
        ]
        _table(("class", "kinds", "prompts", "in force", "the file", "escalations", "tokens"), rows)
    else:
        _out.print("The file would change nothing of it.")


def _tally_row(name: str, tally: Tally) -> tuple[str, ...]:
    unknown = name == "recorded"  # a receipt says what was done, not all that was allowed
    return (name, str(tally.escalations), str(tally.tokens), *(("", "") if unknown else (str(tally.denials), str(tally.kept))))


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    _out.print(table)
