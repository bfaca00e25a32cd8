"""`seawall-models publish`."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from agent.inference.loading import load_bundle
from contract import policy_bundle, roster_bundle
from contract.bundle import BUNDLE_FILE
from contract.errors import InvalidRequest, Reason
from contract.release import Index
from models import staging
from models.access import terminal_access
from models.chunks import Place, index_folder
from models.destinations import Destination, Folder, Hub
from models.mirror import OnlineSigner
from models.progress import Terminal
from models.publish import send_blobs, send_release, sign_version, verify_current
from models.rosters import check_follows, index_roster
from models.signers import open_signer, open_signers
from models.trust import Lives

MODELS = "models"


def publish(
    bundle: Annotated[Path | None, typer.Argument(help="The bundle's folder; a roster's file.", exists=True)] = None,
    version: Annotated[
        str, typer.Option(help="Its version, such as 1.2.0. What is published keeps it for ever. A roster says its own.")
    ] = "",
    root: Annotated[Path, typer.Option(help="A root of the ceremony, which is trusted.", exists=True, dir_okay=False)] = Path(
        "1.root.json"
    ),
    key: Annotated[list[str] | None, typer.Option("--key", help="A key of the role, a file or pkcs11:…; may be repeated.")] = None,
    hub: Annotated[str, typer.Option(help="host:port of the hub's listener for agents.")] = "",
    identity: Annotated[Path, typer.Option(help="With --hub: what seawall-hub trust publisher has made.", file_okay=False)] = Path(
        "publisher"
    ),
    to: Annotated[
        Path | None, typer.Option(help="Instead of --hub: a folder with the ceremony's metadata/ in it.", file_okay=False)
    ] = None,
    online_key: Annotated[str | None, typer.Option(help="With --to: signs the folder's timestamp; a file or pkcs11:….")] = None,
    online_days: Annotated[int, typer.Option(help="With --to: its timestamp is good for so long.", min=1, max=3650)] = 7,
    role: Annotated[str, typer.Option(help="Who signs: models, or policies, rosters, agent-releases with --name.")] = MODELS,
    name: Annotated[str, typer.Option(help="What the folder holds, where it is no model's bundle.")] = "",
    stage: Annotated[
        Path | None, typer.Option(help="Send the chunks, and write the rest here for more signatures.", dir_okay=False)
    ] = None,
    staged: Annotated[Path | None, typer.Option("--from", help="Publish what --stage has written.", exists=True, dir_okay=False)] = None,
    targets_days: Annotated[int, typer.Option(help="The signatures are good for so long.", min=1, max=3650)] = 90,
) -> None:
    """Signs a version and publishes it. The keys never leave this machine; what is there already is not sent again."""
    with _destination(hub, identity, to, online_key, online_days) as destination:
        if staged is not None:
            send_release(destination, root.read_bytes(), staging.read(staged))
            typer.echo(f"published {staged}")
            return
        if bundle is None or not (version or role == roster_bundle.ROLE):
            raise InvalidRequest(Reason.FIELD_INVALID, "Name a BUNDLE and its --version, or what is staged with --from FILE.")
        lives = Lives(others=timedelta(days=targets_days))
        _publish(destination, bundle, name or _name(bundle), version, role, root.read_bytes(), key or [], lives, stage)


def _publish(
    destination: Destination,
    bundle: Path,
    name: str,
    version: str,
    role: str,
    root: bytes,
    keys: list[str],
    lives: Lives,
    stage: Path | None,
) -> None:
    index, places = _indexed(bundle, name, version, role)
    current = verify_current(destination, root, role, index.path(role))
    if role == roster_bundle.ROLE:
        check_follows(name, index.version, current.metadata.signed.targets)
    signers = list(open_signers(keys, terminal_access()).values())
    made = sign_version(current, role, index, signers, lives, datetime.now(UTC))
    if made is None:
        typer.echo(f"{index.path(role)} is published already: nothing was changed.")
        return
    sent_bytes = send_blobs(destination, places, Terminal())
    if stage is not None:
        staging.write(stage, made)
        typer.echo(f"made {stage}; next: seawall-models trust sign {stage} --key KEY, then publish --from {stage}")
        return
    send_release(destination, root, made)
    typer.echo(f"published {index.path(role)}: {len(places)} chunks, {index.size_bytes()} bytes, of which {sent_bytes} were sent")


def _indexed(path: Path, name: str, version: str, role: str) -> tuple[Index, dict[str, Place]]:
    """Returns an index of what no agent would refuse, and where each chunk is."""
    if role == roster_bundle.ROLE:
        return index_roster(path, name, version)
    if not path.is_dir():
        raise InvalidRequest(Reason.FIELD_INVALID, f"{path} is no folder: of {role} a folder is published.")
    if role == policy_bundle.ROLE:
        policy_bundle.check_policy_bundle({file.name: file.read_bytes() for file in path.iterdir() if file.is_file()})
    return index_folder(path, name, version)


@contextmanager
def _destination(hub: str, identity: Path, to: Path | None, online_key: str | None, online_days: int) -> Iterator[Destination]:
    if bool(hub) == (to is not None):
        raise InvalidRequest(Reason.FIELD_INVALID, "Name either --hub HOST:PORT or --to FOLDER.")
    if to is None:
        connection = Hub(hub, identity)
        try:
            yield connection
        finally:
            connection.close()
        return
    if online_key is None:
        raise InvalidRequest(Reason.FIELD_INVALID, "A folder's timestamp is signed here: name the ceremony's online key with --online-key.")
    yield Folder(to, OnlineSigner(open_signer(online_key, terminal_access()), timedelta(days=online_days), datetime.now(UTC)))


def _name(bundle: Path) -> str:
    """Returns the name of a bundle, every byte of which has been verified."""
    if not (bundle / BUNDLE_FILE).is_file():
        raise InvalidRequest(Reason.FIELD_INVALID, f"{bundle} is no model's bundle: build one, or say what it is with --name.")
    return load_bundle(bundle).name
