"""seawall-hub audit."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.exc import SQLAlchemyError

from contract.errors import InvalidRequest, NotPossibleNow, Reason
from contract.identity import key_hash
from contract.tree_heads import HUB_LOG, SignedHead, TreeHead
from hub.audit.check import Checked, check_log
from hub.audit.messages import DAMAGED, read_head
from hub.clock import utc_now
from hub.config import DEFAULT_DATA, load
from hub.console.challenge import challenge_agent
from hub.console.options import AgentId, Config, Data, Output, Shown, minute, plain, print_all, print_one, reach
from hub.folder import DataFolder
from hub.operator import Operator
from hub.store.database import Database
from seawall.hub.v1 import audit_pb2, escalation_pb2

app = typer.Typer(help="What was escalated or recorded, and what agents' logs were when they were witnessed.", no_args_is_help=True)

_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
OfAgent = Annotated[str, typer.Option("--agent", help="Of this agent alone, by its id. [default: all]")]
Since = Annotated[datetime | None, typer.Option("--since", formats=_FORMATS, help="From this time on, UTC. [default: the oldest]")]
Until = Annotated[datetime | None, typer.Option("--until", formats=_FORMATS, help="Before this time, UTC. [default: the newest]")]


@app.command("list", epilog="Example: seawall-hub audit list --agent plant-7 --since 2026-11-01")
def list_entries(
    data: Data = DEFAULT_DATA,
    config: Config = None,
    agent: OfAgent = "",
    since: Since = None,
    until: Until = None,
    output: Shown = Output.TABLE,
) -> None:
    """Lists escalations, and receipts that policy let leave their site (ON_SITE), the oldest first."""
    with reach(data, config) as operator:
        found = list(_entries(operator, _request(agent, since, until)))
    heads = ("#", "Time", "Agent", "Class", "Provider", "Tier", "Region", "Tokens", "Cost", "Outcome")
    print_all(found, output, heads, [_row(entry) for entry in found], "times in UTC")


@app.command("export", epilog="Example: seawall-hub audit export --cursor /var/lib/siem/seawall.cursor >> audit.jsonl")
def export_entries(
    data: Data = DEFAULT_DATA,
    config: Config = None,
    agent: OfAgent = "",
    since: Since = None,
    until: Until = None,
    after: Annotated[int | None, typer.Option(help="Behind this number. [default: from the oldest]", min=0)] = None,
    cursor: Annotated[
        Path | None, typer.Option(help="A file that says where the last export ended; this one goes on there.", dir_okay=False)
    ] = None,
) -> None:
    """Prints escalations and recorded receipts as JSON Lines, the oldest first."""
    request = _request(agent, since, until)
    last = after if cursor is None or not cursor.exists() else _read_cursor(cursor)
    if last is not None:
        request.after_number = last
    with reach(data, config) as operator:
        for entry in _entries(operator, request):
            typer.echo(_line(entry))
            last = entry.number
    if cursor is not None and last is not None:
        cursor.write_text(f"{last}\n")


@app.command("head", epilog="Example: seawall-hub audit head > head-2026-11-28.json")
def show_head(data: Data = DEFAULT_DATA, config: Config = None) -> None:
    """Prints the signed head of the log as it is now. Keep it elsewhere: with it, seawall-hub audit verify finds what is dropped later."""
    with reach(data, config) as operator:
        found = operator.call(operator.audit.GetAuditTreeHead, audit_pb2.GetAuditTreeHeadRequest())
    signed = read_head(found.tree_head)
    keys = {"public_key": signed.public_key.hex(), "key_hash": key_hash(signed.public_key)}
    typer.echo(json.dumps({**signed.head.to_dict(), **keys, "signature": signed.signature.hex()}))


@app.command("verify", epilog="Example: seawall-hub audit verify --head head-2026-11-28.json")
def verify_log(
    data: Data = DEFAULT_DATA,
    config: Config = None,
    head: Annotated[
        list[Path] | None, typer.Option(help="A head that was kept elsewhere; may be repeated.", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """Reads the whole log in the hub's database, and compares it with its heads. A line for each thing that is wrong, and exit status 1."""
    earlier = [_read_head(path) for path in head or []]
    folder = DataFolder(data)
    settings = load(config or folder.config)
    kept_since = utc_now() - timedelta(days=settings.limits.audit_days)
    with _store(settings.database_url or folder.database_url) as database:
        checked: Checked = asyncio.run(database.read(lambda connection: check_log(connection, earlier, kept_since)))
    for finding in checked.findings:
        typer.echo(plain(finding))
    if checked.findings:
        raise typer.Exit(1)
    kept = f"{checked.entries} entries were logged, {checked.kept} are kept in clear; {checked.heads + len(earlier)} heads"
    typer.echo(f"{kept}: all is as it was signed.")


@app.command("witnessed", epilog="Example: seawall-hub audit witnessed plant-7 --output json")
def show_witnessed(agent: AgentId, data: Data = DEFAULT_DATA, config: Config = None, output: Shown = Output.TABLE) -> None:
    """Shows what an agent's log of receipts was when it was witnessed last, and the heads that were refused since they did not fit."""
    with reach(data, config) as operator:
        print_one(operator.call(operator.audit.GetTreeHead, audit_pb2.GetTreeHeadRequest(name=f"agents/{agent}")), output)


app.command("challenge", epilog="Example: seawall-hub audit challenge plant-7 --count 20")(challenge_agent)


def _request(agent: str, since: datetime | None, until: datetime | None) -> audit_pb2.ListAuditEntriesRequest:
    return audit_pb2.ListAuditEntriesRequest(
        page_size=1000, agent=f"agents/{agent}" if agent else "", start_time=_timestamp(since), end_time=_timestamp(until)
    )


def _timestamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    result = Timestamp()
    result.FromDatetime(time.replace(tzinfo=UTC))
    return result


def _entries(operator: Operator, request: audit_pb2.ListAuditEntriesRequest) -> Iterator[audit_pb2.AuditEntry]:
    """Page by page: a year of them need not be in memory."""
    while True:
        page = operator.call(operator.audit.ListAuditEntries, request)
        yield from page.audit_entries
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return


def _row(entry: audit_pb2.AuditEntry) -> tuple[str, ...]:
    fields: dict[str, Any] = MessageToDict(entry)
    cost = f"{entry.cost_micros / 1e6:.6f} {entry.currency}" if entry.HasField("cost_micros") else ""
    return (
        str(entry.number),
        minute(entry.create_time),
        entry.agent.removeprefix("agents/"),
        escalation_pb2.DataClass.Name(entry.data_class).removeprefix("DATA_CLASS_").lower(),
        entry.provider,
        str(fields.get("tier", "")).removeprefix("PROVIDER_TIER_").lower(),
        entry.region,
        f"{entry.input_tokens} + {entry.output_tokens}",
        cost,
        entry.outcome,
    )


def _line(entry: audit_pb2.AuditEntry) -> str:
    if entry.outcome == DAMAGED:
        return json.dumps({"number": entry.number, "outcome": DAMAGED, "leaf": entry.leaf})
    return json.dumps({"number": entry.number, **json.loads(entry.leaf)})


def _read_cursor(path: Path) -> int:
    try:
        return int(path.read_text())
    except ValueError as error:
        raise InvalidRequest(Reason.FIELD_INVALID, f"{path} is no cursor of an export: remove it, and all is exported anew.") from error


def _read_head(path: Path) -> SignedHead:
    try:
        content = json.loads(path.read_bytes())
        head = TreeHead(HUB_LOG, int(content["size"]), bytes.fromhex(content["root"]), datetime.fromisoformat(content["time"]))
        return SignedHead(head, bytes.fromhex(content["public_key"]), bytes.fromhex(content["signature"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(Reason.JSON_INVALID, f"{path} is no head of the audit log: seawall-hub audit head prints one.") from error


@contextmanager
def _store(url: Any) -> Iterator[Database]:
    database = Database.open(url)
    try:
        yield database
    except (SQLAlchemyError, LookupError) as error:
        raise NotPossibleNow(
            Reason.LOG_DAMAGED, f"The audit log cannot be read ({type(error).__name__}): the database is damaged."
        ) from error
    finally:
        database.close()
