"""`seawall-agent learning`."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from agent.config import AgentSettings
from agent.config_file import load_settings
from agent.learning.ledger import Contribution, LedgerStore
from agent.learning.membership import NO_STANDING, Standing, standing_of
from agent.learning.opening import limits_of
from agent.options import Config, print_table
from agent.policies.in_force import Chosen, choose
from agent.policies.opening import kept_policy
from agent.state import StateFolder
from agent.store.database import Database
from contract.calibration.sums import ANSWER_UNITS
from contract.learning_limits import LearningLimits
from contract.privacy_account import Account

app = typer.Typer(no_args_is_help=True, help="See what this device has contributed to sums over the fleet.")
_out = Console(width=None if sys.stdout.isatty() else 200, markup=False, highlight=False)


@dataclass(frozen=True, slots=True)
class Said:
    """What is shown.

    Args:
        limits: of this device.
        why: it takes part or not.
        roster_version: the greatest that was seen; 0: none was.
        standing: of this device in the roster that was taken last.
        rho: what was given away.
        contributions: by window.
    """

    limits: LearningLimits
    why: str
    roster_version: int = 0
    standing: Standing = NO_STANDING
    rho: float = 0.0
    contributions: tuple[Contribution, ...] = ()

    @property
    def epsilon_spent(self) -> float:
        """What the account comes to."""
        return Account(self.rho).epsilon(self.limits.delta)

    @property
    def epsilon_left(self) -> float:
        """What is left of the budget."""
        return max(0.0, self.limits.epsilon - self.epsilon_spent)


@app.callback()
def _learning() -> None:
    """See what this device has contributed to sums over the fleet."""


@app.command(epilog="Example: seawall-agent learning show --json")
def show(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all counts.")] = False,
    config: Config = None,
) -> None:
    """Show whether and by which limits this device takes part, what it has given away, and its counts of each week before noise."""
    settings = load_settings(config)
    said = _read(settings, StateFolder(settings.state_folder))
    if as_json:
        print(json.dumps(_as_json(said)))
        return
    _out.print(said.why, soft_wrap=True)
    limits = said.limits
    exact = f"from {limits.exact_cohort} devices on" if limits.exact_cohort else "never"
    _out.print(f"Sums are of at least {limits.smallest_cohort} devices; without noise: {exact}.")
    _out.print(f"ε {said.epsilon_spent:.2f} of {limits.epsilon:g} is spent, {said.epsilon_left:.2f} is left (δ {limits.delta:g}).")
    _out.print(f"Roster: {said.roster_version or 'none seen yet'}. {said.standing.says}".rstrip(), soft_wrap=True)
    if said.standing.member_key_hash:
        _out.print(f"Member key: {said.standing.member_key_hash}", soft_wrap=True)
    if said.contributions:
        print_table(_out, ("window", "contributed", "devices asked", "noise", "answers counted"), [_row(one) for one in said.contributions])
        _out.print("The counts themselves, which have never left this device: seawall-agent learning show --json", soft_wrap=True)


def _read(settings: AgentSettings, state: StateFolder) -> Said:
    chosen = choose(settings, kept_policy(state))
    limits = limits_of(settings, chosen)
    why = _why(settings, chosen, state.identity.enrolled)
    if not state.database.exists():
        return Said(limits, why)
    database = Database(state.database, state.data_key(settings.data_key_file))
    try:
        ledger = LedgerStore(database)
        return Said(
            limits=limits,
            why=why,
            roster_version=ledger.roster_version(),
            standing=standing_of(state.identity, state.learning),
            rho=ledger.account().rho,
            contributions=tuple(ledger.contributions()),
        )
    finally:
        database.close()


def _why(settings: AgentSettings, chosen: Chosen, is_enrolled: bool) -> str:
    if not settings.learning.enabled:
        return "Off: the configuration says so. To take part: [learning] enabled = true."
    if chosen.trouble:
        return f"Off: {chosen.trouble}"
    if chosen.learning is not None and not chosen.learning.enabled:
        return f"Off: {chosen.name} says so."
    if not is_enrolled:
        return "Off: this device is not enrolled. See: seawall-agent enroll --help"
    return "On: the configuration says so" + ("." if chosen.learning is None else f", and so does {chosen.name}.")


def _as_json(said: Said) -> dict[str, object]:
    return {
        "enabled": said.why.startswith("On"),
        "why": said.why,
        "limits": asdict(said.limits),
        "epsilon_spent": said.epsilon_spent,
        "epsilon_left": said.epsilon_left,
        "roster_version": said.roster_version,
        "roster_says": said.standing.says,
        "member_key_hash": said.standing.member_key_hash,
        "contributions": [asdict(one) for one in said.contributions],
    }


def _row(one: Contribution) -> tuple[str, ...]:
    time = datetime.fromtimestamp(one.spend_time, UTC)
    counted = "stopped before it had counted"
    if one.counts is not None:
        counted = str(_answers(one.counts))
    return one.window, f"{time:%Y-%m-%d %H:%M}", str(one.cohort), "none" if one.is_exact else "yes", counted


def _answers(counts: Mapping[str, int]) -> int:
    """Returns how many answers were counted: each has one route, or is one of those that somebody judged."""
    return sum(count for cell, count in counts.items() if cell.startswith("route.")) + counts.get("answers", 0) // ANSWER_UNITS
