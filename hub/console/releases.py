"""seawall-hub releases."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from tuf.api.metadata import Metadata

from contract.errors import NotFound, Reason
from contract.release import Index, consistent_path
from hub.config import DEFAULT_DATA
from hub.console.options import Config, Data, Output, Shown, reach
from hub.operator import Operator
from seawall.hub.v1 import release_pb2

app = typer.Typer(help="What was published for the fleet.", no_args_is_help=True)


@app.command("list", epilog="Example: seawall-hub releases list")
def list_releases(data: Data = DEFAULT_DATA, config: Config = None, output: Shown = Output.TABLE) -> None:
    """Lists every version of everything."""
    with reach(data, config) as operator:
        rows = published(operator)
    if output is Output.JSON:
        Console().print_json(data=rows)
        return
    table = Table(Column("Path", overflow="fold"), "Signed by", "Signed until", caption="times in UTC")
    for row in rows:
        table.add_row(row["path"], row["role"], row["expireTime"])
    Console().print(table)


@app.command("show", epilog="Example: seawall-hub releases show models/smollm2-135m-instruct/versions/1.2.0.json")
def show(
    path: Annotated[str, typer.Argument(help="As releases list shows it.")],
    data: Data = DEFAULT_DATA,
    config: Config = None,
    output: Shown = Output.TABLE,
) -> None:
    """Shows the files of one version."""
    with reach(data, config) as operator:
        found = next((row for row in published(operator) if row["path"] == path), None)
        if found is None:
            raise NotFound(Reason.RELEASE_NOT_FOUND, f"There is no {path[:160]}: seawall-hub releases list shows what there is.")
        request = release_pb2.GetTargetRequest(path=consistent_path(path, found["sha256"]))
        index = Index.from_json(operator.call(operator.releases.GetTarget, request).content)
    if output is Output.JSON:
        typer.echo(json.dumps(asdict(index)))
        return
    table = Table("File", "Bytes", "Chunks", Column("SHA-256", overflow="fold"))
    for file in index.files:
        table.add_row(file.name, str(file.size_bytes), str(len(file.chunks)), file.sha256)
    Console().print(table)


def published(operator: Operator) -> list[dict[str, str]]:
    """Returns what agents are shown: what hangs from the timestamp of now."""
    timestamp = operator.metadata("timestamp.json")
    if timestamp is None:
        return []
    version = _signed(timestamp).snapshot_meta.version
    snapshot = _signed(operator.metadata(f"{version}.snapshot.json") or b"")
    rows = []
    for file, meta in sorted(snapshot.meta.items()):
        signed = _signed(operator.metadata(f"{meta.version}.{file}") or b"")
        rows += [
            {
                "path": path,
                "role": file.removesuffix(".json"),
                "expireTime": f"{signed.expires:%Y-%m-%d %H:%M}",
                "sha256": target.hashes["sha256"],
            }
            for path, target in sorted(signed.targets.items())
        ]
    return rows


def _signed(content: bytes) -> Any:
    metadata: Metadata[Any] = Metadata.from_bytes(content)
    return metadata.signed
