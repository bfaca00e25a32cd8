"""`seawall-agent receipts`, and what proves them."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from agent.audit_client import HubRecord, get_record
from agent.config import AgentSettings
from agent.config_file import load_settings
from agent.hub_channel import open_channel
from agent.log_check import Checked, check_log
from agent.options import Config, print_table
from agent.state import StateFolder
from agent.store.audit import ReceiptStore
from agent.store.database import Database
from agent.store.proofs import prove as make_proof
from contract.errors import InvalidRequest, Reason, SeawallError
from contract.receipt_proof import ReceiptProof
from contract.tree_heads import written

T = TypeVar("T")

HUB_SECONDS = 10.0

app = typer.Typer(invoke_without_command=True)
_out = Console(width=None if sys.stdout.isatty() else 200)  # a pipe has no edge to wrap at
_NONE = "No receipts yet: no prompt has been answered here."


@app.callback(epilog="Example: seawall-agent receipts --count 5")
def receipts(
    context: typer.Context,
    count: Annotated[int, typer.Option(min=1, max=100_000, help="How many, newest first. Example: --count 5")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    config: Config = None,
) -> None:
    """Show what was done with the latest prompts, and what left the site."""
    if context.invoked_subcommand is not None:
        return
    settings = load_settings(config)
    state = StateFolder(settings.state_folder)
    if not state.database.exists():
        _out.print(_NONE)
        return
    rows = _on_store(state, settings, lambda database: ReceiptStore(database, age_seconds=0).latest(count))
    if as_json:
        for row in rows:
            print(json.dumps(row))
    else:
        print_table(_out, ("time", "client", "route", "class", "left the site", "why"), [_receipt_row(row) for row in rows])


@app.command(epilog="Example: seawall-agent receipts verify, or a proof from elsewhere: seawall-agent receipts verify --proof proof.json")
def verify(
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the hub what it has witnessed.")] = False,
    proof: Annotated[
        Path | None, typer.Option(help="Check this document of seawall-agent receipts prove alone.", exists=True, dir_okay=False)
    ] = None,
    config: Config = None,
) -> None:
    """Look whether the log of receipts is as it was signed and witnessed. A line for each thing that is not, and exit status 1."""
    if proof is not None:
        _verify_proof(ReceiptProof.from_json(proof.read_bytes()))
        return
    settings = load_settings(config)
    state = StateFolder(settings.state_folder)
    is_new = not state.database.exists() and not state.identity.enrolled
    record = None if offline or is_new else _ask_hub(state)
    if not state.database.exists():
        if record is not None and record.size:
            print(f"the whole log is gone: the hub has witnessed {record.size} receipts, and none is here")
            raise typer.Exit(1)
        _out.print(_NONE)
        return
    checked = _check(state, settings, record)
    for finding in checked.findings:
        print(finding)
    if checked.findings:
        raise typer.Exit(1)
    print(
        f"{checked.receipts} receipts were logged, {checked.kept} are kept; {checked.heads} heads, {checked.witnessed} witnessed: "
        f"all is as it was signed.{_forgetting(checked, settings)}"
    )


@app.command(epilog="Example: seawall-agent receipts prove 3f0c…-… > proof.json")
def prove(
    receipt_id: Annotated[str, typer.Argument(help="The receipt's id: an answer has it, and receipts --json.")],
    config: Config = None,
) -> None:
    """Print the proof that a receipt was logged, as JSON that anybody can check."""
    settings = load_settings(config)
    proof = _on_store(
        StateFolder(settings.state_folder), settings, lambda database: database.run(lambda tables: make_proof(tables, receipt_id))
    )
    print(json.dumps(proof.to_dict(), indent=1))


def _verify_proof(proof: ReceiptProof) -> None:
    faults = list(proof.faults())
    for fault in faults:
        print(fault)
    if faults:
        raise typer.Exit(1)
    print(proof.vouchers())


def _ask_hub(state: StateFolder) -> HubRecord | None:
    """Returns what the hub has witnessed; None, and a line on standard error: it could not be asked."""
    if not state.identity.enrolled:
        typer.echo("not checked: this device is not enrolled, so that no hub has witnessed its log", err=True)
        return None
    try:
        return asyncio.run(_record(state))
    except SeawallError as error:
        typer.echo(f"not checked: what the hub has witnessed. {error.message}", err=True)
        return None


async def _record(state: StateFolder) -> HubRecord:
    identity = state.identity.read()
    async with open_channel(identity) as channel:
        return await get_record(channel, identity, HUB_SECONDS)


def _check(state: StateFolder, settings: AgentSettings, record: HubRecord | None) -> Checked:
    kept_since = datetime.now(UTC) - timedelta(seconds=settings.keep.receipt_seconds)
    return _on_store(state, settings, lambda database: database.run(lambda tables: check_log(tables, record, kept_since)))


def _forgetting(checked: Checked, settings: AgentSettings) -> str:
    """Says what was forgotten earlier than it would be now, which is in order if `receipt_seconds` was less then."""
    if checked.forgotten_before <= datetime.now(UTC) - timedelta(seconds=settings.keep.receipt_seconds):
        return ""
    return f" What is older than {written(checked.forgotten_before)} was forgotten under a shorter receipt_seconds, as its heads say."


def _on_store(state: StateFolder, settings: AgentSettings, work: Callable[[Database], Awaitable[T]]) -> T:
    async def run() -> T:
        database = Database(state.database, state.data_key(settings.data_key_file))
        try:
            return await work(database)
        finally:
            database.close()

    if not state.database.exists():
        raise InvalidRequest(Reason.RECEIPT_NOT_FOUND, _NONE)
    return asyncio.run(run())


def _receipt_row(row: dict[str, Any]) -> tuple[str, ...]:
    departure = row["departure"]
    left = (
        "nothing"
        if departure is None
        else f"{departure['characters']} characters to {departure['provider'] or 'the hub'} {departure['region']}"
    )
    return (row["create_time"], row["client"], row["route"], row["data_class"], left.strip(), ", ".join(row["reasons"]))
