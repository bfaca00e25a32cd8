"""`seawall-models trust`: the ceremony's commands."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from securesystemslib.signer import Key, Signer
from tuf.api.metadata import Metadata

from contract.errors import Conflict, InvalidRequest, Reason
from contract.release import DELEGATED_ROLES
from models import staging, trust
from models.keys import create_key, find, load_signer, load_signers, read_online_key
from models.trust import KEYS, METADATA, STRENGTHS, Lives, Strength, Trust

PASSPHRASE_VARIABLE = "SEAWALL_PASSPHRASE"
_ONLINE = "online"

app = typer.Typer(help="Makes and keeps the keys that releases are signed with. Needs no network.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="The ceremony's folder, with metadata/ and keys/ in it.", file_okay=False)]
Role = Annotated[str, typer.Option(help=f"root, targets, {', '.join(DELEGATED_ROLES)}, or online.")]
KeyFiles = Annotated[
    list[Path] | None,
    typer.Option("--key", help="A key to sign with; may be repeated. [default: those of the role in keys/]", dir_okay=False),
]
OnlineKeys = Annotated[
    list[Path] | None, typer.Option("--online-keys", help="What seawall-hub trust request has printed; may be repeated.", dir_okay=False)
]
RootDays = Annotated[int, typer.Option(help="A root is good for so long.", min=1, max=3650)]
TargetsDays = Annotated[int, typer.Option(help="All else that is signed here is good for so long.", min=1, max=3650)]


def ask_passphrase(what: str) -> str:
    """Returns the passphrase of a key, from the environment or the terminal."""
    return os.environ.get(PASSPHRASE_VARIABLE) or str(typer.prompt(f"Passphrase of {what}", hide_input=True, err=True))


@app.command("init", epilog="Example: seawall-models trust init ceremony --online-keys hub.json")
def init(
    folder: Folder,
    online_keys: OnlineKeys = None,
    root_keys: Annotated[int, typer.Option(help="How many keys the root has.", min=1, max=20)] = 3,
    threshold: Annotated[int, typer.Option(help="How many of them must sign a root.", min=1, max=20)] = 2,
    root_days: RootDays = 365,
    targets_days: TargetsDays = 90,
) -> None:
    """Makes all keys, encrypted, and the first metadata. Without --online-keys, an online key too, for a mirror that no hub keeps.

    The passphrase comes from the terminal or from SEAWALL_PASSPHRASE.
    """
    if threshold > root_keys:
        raise InvalidRequest(Reason.FIELD_INVALID, f"{root_keys} keys cannot give {threshold} signatures: lower --threshold.")
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(Reason.FIELD_INVALID, f"{folder} is not empty: a ceremony begins in an empty folder.")
    public: list[Key] = [read_online_key(path) for path in online_keys or []]
    passphrase = _new_passphrase()
    if not public:
        public = [create_key(folder / KEYS, _ONLINE, passphrase).public_key]
    strengths = {**STRENGTHS, "root": Strength(root_keys, threshold)}
    made = trust.begin(strengths, public, lambda role: create_key(folder / KEYS, role, passphrase), _lives(root_days, targets_days), _now())
    for path in trust.write(folder, {"root": made.root, "targets": made.targets, **made.roles}):
        typer.echo(f"made {path}")
    for path in sorted((folder / KEYS).glob("*.pem")):
        typer.echo(f"made {path}")
    typer.echo(f"Next: move each key to where its holder keeps it; on the hub: seawall-hub trust import {folder / METADATA}", err=True)


@app.command("show", epilog="Example: seawall-models trust show ceremony")
def show(folder: Folder) -> None:
    """Shows each role's version, end, and keys, having verified the signatures."""
    found = trust.load(folder)
    for role in ("root", "targets", *sorted(found.roles)):
        metadata = found.of(role)
        have, want = trust.signatures(found, role, metadata)
        keys = " ".join(key_id[:12] for key_id in found.key_ids(role))
        typer.echo(
            f"{role}  version {metadata.signed.version}  until {metadata.signed.expires:%Y-%m-%d}  {have} of {want} signatures  {keys}"
        )
    for role in ("snapshot", "timestamp"):
        typer.echo(f"{role}  {' '.join(key_id[:12] for key_id in found.root.signed.roles[role].keyids)}")


@app.command("renew", epilog="Example: seawall-models trust renew ceremony --role models")
def renew(folder: Folder, role: Role, key: KeyFiles = None, root_days: RootDays = 365, targets_days: TargetsDays = 90) -> None:
    """Signs a role's next version, with the same keys, which is good for a whole life again."""
    found = trust.load(folder)
    signers = _signers(folder, found, role, key)
    _finish(folder, found, trust.renew(found, role, signers, _lives(root_days, targets_days), _now()))


@app.command("rotate", epilog="Example: seawall-models trust rotate ceremony --role models")
def rotate(
    folder: Folder,
    role: Role,
    key: KeyFiles = None,
    online_keys: OnlineKeys = None,
    root_days: RootDays = 365,
    targets_days: TargetsDays = 90,
) -> None:
    """Gives a role new keys: signs what is above it, and what it has signed. For --role online, --online-keys are named in the root.

    The keys to sign with are those of what is above the role; for the root, those of the old root, which the new ones join.
    """
    found, lives = trust.load(folder), _lives(root_days, targets_days)
    above = "root" if role in ("root", "targets", _ONLINE) else "targets"
    if role == _ONLINE:
        public = [read_online_key(path) for path in online_keys or []]
        if not public:
            raise InvalidRequest(
                Reason.FIELD_INVALID, "Name the new online keys with --online-keys: seawall-hub trust request prints them."
            )
        _finish(folder, found, trust.replace_online(found, public, _signers(folder, found, above, key), lives, _now()))
        return
    found.of(role)
    signers, passphrase = _signers(folder, found, above, key), _new_passphrase()
    fresh: list[Signer] = [create_key(folder / KEYS, role, passphrase) for _ in found.key_ids(role)]
    _finish(folder, found, trust.rotate(found, role, signers, fresh, lives, _now()))


@app.command("sign", epilog="Example: seawall-models trust sign staged.json --key agent-releases-0a1b2c3d4e5f.pem")
def sign(
    file: Annotated[
        Path, typer.Argument(help="Metadata of the ceremony, or what publish --stage has written.", exists=True, dir_okay=False)
    ],
    key: Annotated[list[Path], typer.Option("--key", help="A key to sign with; may be repeated.", dir_okay=False)],
) -> None:
    """Adds signatures to a file. Look at what it says before you sign it: seawall-models trust inspect FILE."""
    staged = staging.read(file)
    for path in key:
        staged.metadata.sign(load_signer(path, ask_passphrase), append=True)
    staging.write(file, staged)
    typer.echo(f"{file} has {len(staged.metadata.signatures)} signatures.")


@app.command("inspect", epilog="Example: seawall-models trust inspect staged.json")
def inspect(file: Annotated[Path, typer.Argument(help="Metadata, or a staged release.", exists=True, dir_okay=False)]) -> None:
    """Shows what a file would make true once it is signed by enough keys."""
    for line in staging.describe(staging.read(file)):
        typer.echo(line)


def _finish(folder: Path, found: Trust, changed: dict[str, Metadata[Any]]) -> None:
    paths = trust.write(folder, changed)
    roles = {**found.roles, **{role: metadata for role, metadata in changed.items() if role not in ("root", "targets")}}
    after = Trust(found.root, changed.get("targets", found.targets), roles)
    if "targets" in changed and "root" in changed:
        after = Trust(changed["root"], changed["targets"], roles)
    for path, (role, metadata) in zip(paths, changed.items(), strict=True):
        have, want = trust.signatures(after, role, metadata)
        rest = "" if have >= want else f"; {want - have} more: seawall-models trust sign {path} --key FILE"
        typer.echo(f"made {path}: {have} of {want} signatures{rest}")
    typer.echo(f"Next, when all are signed: seawall-hub trust import {folder / METADATA}", err=True)


def _signers(folder: Path, found: Trust, role: str, given: list[Path] | None) -> list[Signer]:
    key_ids = found.key_ids(role)
    paths = given or find(folder / KEYS, key_ids)
    signers = load_signers(paths, ask_passphrase)
    wrong = sorted(set(signers) - set(key_ids))
    if wrong or not signers:
        why = f"{wrong[0][:12]} is none of them" if wrong else f"none lies in {folder / KEYS}; name them with --key"
        raise InvalidRequest(Reason.FIELD_INVALID, f"Keys of {role} must sign: {why}.")
    return list(signers.values())


def _new_passphrase() -> str:
    given = os.environ.get(PASSPHRASE_VARIABLE)
    return given or str(typer.prompt("Passphrase for the new keys", hide_input=True, confirmation_prompt=True, err=True))


def _lives(root_days: int, targets_days: int) -> Lives:
    return Lives(timedelta(days=root_days), timedelta(days=targets_days))


def _now() -> datetime:
    return datetime.now(UTC)
