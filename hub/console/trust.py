"""seawall-hub trust."""

import hashlib
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography.hazmat.primitives.asymmetric import ec
from tuf.api.metadata import Metadata, Root, Snapshot, Timestamp
from tuf.api.serialization import DeserializationError

from contract.errors import Conflict, InvalidRequest, Reason
from contract.identity import AGENT_ID, SpiffeId
from contract.release import DELEGATED_ROLES
from hub.clock import utc_now
from hub.config import DEFAULT_DATA, load
from hub.console.options import Config, Data, reach
from hub.fleet.certificates import OPERATOR_LIFE
from hub.folder import DataFolder, Pair, write_file
from hub.operator import Operator
from hub.release.keys import online_signer, request
from seawall.hub.v1 import release_pb2

ROLES = ("targets", *DELEGATED_ROLES)

app = typer.Typer(help="Who may sign what is distributed. The keys are made elsewhere: seawall-models trust.", no_args_is_help=True)

MetadataFolder = Annotated[Path, typer.Argument(help="The metadata/ of a ceremony.", file_okay=False)]


@app.command("request", epilog="Example: seawall-hub trust request > hub.json")
def print_request(data: Data = DEFAULT_DATA) -> None:
    """Prints the public half of this hub's online key, for the ceremony to sign into the root."""
    DataFolder(data).ca.load()
    typer.echo(request(online_signer(data)))


@app.command("import", epilog="Example: seawall-hub trust import ceremony/metadata")
def import_metadata(folder: MetadataFolder, data: Data = DEFAULT_DATA, config: Config = None) -> None:
    """Hands what a ceremony has signed to the running hub, which verifies it: every root that is new, and the newest of the rest."""
    with reach(data, config) as operator:
        for version, path in sorted(_versions(folder, Root.type).items()):
            if operator.metadata(f"{version}.root.json") is None:
                _hand_over(operator, Root.type, path)
        for role in ROLES:
            found = _versions(folder, role)
            if found and operator.metadata(f"{max(found)}.{role}.json") != found[max(found)].read_bytes():
                _hand_over(operator, role, found[max(found)])
        shown = operator.metadata("timestamp.json") is not None
    if not shown:
        typer.echo("The newest root does not name this hub's online key, or something is missing: agents are shown nothing yet.", err=True)
        typer.echo(
            "Next: seawall-hub trust request > hub.json; in the ceremony: seawall-models trust rotate FOLDER --role online", err=True
        )


@app.command("export", epilog="Example: seawall-hub trust export ceremony/metadata")
def export_metadata(folder: MetadataFolder, data: Data = DEFAULT_DATA, config: Config = None) -> None:
    """Writes what is current into the metadata/ of a ceremony, which verifies it, before it renews or rotates keys."""
    folder.mkdir(parents=True, exist_ok=True)
    with reach(data, config) as operator:
        for name, content in (_roots(operator) | _shown(operator)).items():
            write_file(folder / name, content)
            typer.echo(f"made {folder / name}")


@app.command("show", epilog="Example: seawall-hub trust show")
def show(data: Data = DEFAULT_DATA, config: Config = None) -> None:
    """Shows the newest root and its SHA-256, and until when each role is good."""
    with reach(data, config) as operator:
        roots, shown, timestamp = _roots(operator), _shown(operator), operator.metadata("timestamp.json")
    newest = list(roots.values())[-1]
    online = online_signer(data).public_key.keyid
    root: Metadata[Root] = Metadata.from_bytes(newest)
    named = online in root.signed.roles["timestamp"].keyids
    typer.echo(f"root SHA-256 {hashlib.sha256(newest).hexdigest()}")
    typer.echo(f"online key {online[:12]}: {'named in it' if named else 'not named in it, so that nothing new is shown to agents'}")
    for name, content in [*roots.items(), *shown.items(), *([] if timestamp is None else [("timestamp.json", timestamp)])]:
        metadata: Metadata[Any] = Metadata.from_bytes(content)
        typer.echo(f"{name}  until {metadata.signed.expires:%Y-%m-%d %H:%M} UTC")


@app.command("publisher", epilog="Example: seawall-hub trust publisher build-server publisher")
def publisher(
    name: Annotated[str, typer.Argument(help="Who it is: a-z, 0-9 and '-'.")],
    folder: Annotated[Path, typer.Argument(help="Made for seawall-models publish --identity.", file_okay=False)],
    data: Data = DEFAULT_DATA,
    config: Config = None,
) -> None:
    """Makes a certificate that lets one publisher reach the hub. What it may publish is decided by signing keys, not by this."""
    if not AGENT_ID.fullmatch(name):
        raise InvalidRequest(Reason.NAME_INVALID, f"'{name[:80]}' is no name: use 1 to 63 of a-z, 0-9 and '-', not '-' at either end.")
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(Reason.CONFIG_INVALID, f"{folder} is not empty: name another one.")
    hub = DataFolder(data)
    settings = load(config or hub.config)
    authority, key = hub.load_ca(settings.trust_domain, utc_now), ec.generate_private_key(ec.SECP256R1())
    certificate = authority.issue_client(key.public_key(), SpiffeId(settings.trust_domain, "publisher", name), OPERATOR_LIFE)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = Pair(folder / "publisher.key", folder / "publisher.crt").write(key, certificate)
    write_file(folder / "ca.crt", hub.trusted_pem())
    for path in (*made, folder / "ca.crt"):
        typer.echo(f"made {path}")


def _roots(operator: Operator) -> dict[str, bytes]:
    """Every root, by file name, the newest last."""
    found: dict[str, bytes] = {}
    while (root := operator.metadata(name := f"{len(found) + 1}.root.json")) is not None:
        found[name] = root
    if not found:
        raise InvalidRequest(Reason.RELEASE_NOT_FOUND, "No trust was imported yet: seawall-hub trust import FOLDER")
    return found


def _shown(operator: Operator) -> dict[str, bytes]:
    """The metadata that agents are shown now, by file name."""
    timestamp = operator.metadata("timestamp.json")
    if timestamp is None:
        return {}
    named: Metadata[Timestamp] = Metadata.from_bytes(timestamp)
    snapshot: Metadata[Snapshot] = Metadata.from_bytes(operator.metadata(f"{named.signed.snapshot_meta.version}.snapshot.json") or b"")
    names = [f"{meta.version}.{file}" for file, meta in snapshot.signed.meta.items()]
    return {name: operator.metadata(name) or b"" for name in names}


def _versions(folder: Path, role: str) -> dict[int, Path]:
    found = {int(path.name.partition(".")[0]): path for path in folder.glob(f"[0-9]*.{role}.json")}
    if role == Root.type and not found:
        raise InvalidRequest(
            Reason.RELEASE_NOT_FOUND, f"{folder} holds no root. Name the metadata/ of a ceremony: seawall-models trust init"
        )
    return found


def _hand_over(operator: Operator, role: str, path: Path) -> None:
    try:
        content = path.read_bytes()
        Metadata.from_bytes(content)
    except DeserializationError as error:
        raise InvalidRequest(Reason.RELEASE_INVALID, f"{path} cannot be read: copy it again.") from error
    answer = operator.call(operator.publisher.PublishMetadata, release_pb2.PublishMetadataRequest(role=role, content=content))
    typer.echo(f"{role} version {answer.version}")
