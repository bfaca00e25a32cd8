"""`seawall-models trust`: the ceremony's commands."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from securesystemslib.signer import Key, Signer
from tuf.api.metadata import Metadata

from contract.errors import Conflict, InvalidRequest, Reason
from contract.release import DELEGATED_ROLES
from models import staging, trust
from models.access import new_passphrase, terminal_access
from models.keys import create_key, read_online_key
from models.signers import Given, find, note, open_given, open_signer, open_signers, public_half
from models.trust import KEYS, METADATA, STRENGTHS, CreateKey, Lives, Strength, Trust

_ONLINE = "online"

app = typer.Typer(help="Makes and keeps the keys that releases are signed with. Needs no network.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="The ceremony's folder, with metadata/ and keys/ in it.", file_okay=False)]
Role = Annotated[str, typer.Option(help=f"root, targets, {', '.join(DELEGATED_ROLES)}, or online.")]
Keys = Annotated[
    list[str] | None,
    typer.Option("--key", help="A key to sign with, a file or pkcs11:…; may be repeated. [default: those of the role in keys/]"),
]
OnlineKeys = Annotated[
    list[Path] | None, typer.Option("--online-keys", help="What seawall-hub trust request has printed; may be repeated.", dir_okay=False)
]
RootDays = Annotated[int, typer.Option(help="A root is good for so long.", min=1, max=3650)]
TargetsDays = Annotated[int, typer.Option(help="All else that is signed here is good for so long.", min=1, max=3650)]


@app.command("init", epilog="Example: seawall-models trust init ceremony --online-keys hub.json")
def init(
    folder: Folder,
    online_keys: OnlineKeys = None,
    root_keys: Annotated[int, typer.Option(help="How many keys the root has.", min=1, max=20)] = 3,
    threshold: Annotated[int, typer.Option(help="How many of them must sign a root.", min=1, max=20)] = 2,
    root_days: RootDays = 365,
    targets_days: TargetsDays = 90,
    use: Annotated[
        list[str] | None, typer.Option(help="ROLE=KEY, a file or pkcs11:…, in place of a key that would be made; may be repeated.")
    ] = None,
) -> None:
    """Makes all keys, encrypted, and the first metadata. Without --online-keys, an online key too, for a mirror that no hub keeps.

    The passphrase comes from the terminal or from SEAWALL_PASSPHRASE, the PIN of a token from the terminal or from SEAWALL_PIN.
    """
    if threshold > root_keys:
        raise InvalidRequest(Reason.FIELD_INVALID, f"{root_keys} keys cannot give {threshold} signatures: lower --threshold.")
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(Reason.FIELD_INVALID, f"{folder} is not empty: a ceremony begins in an empty folder.")
    public: list[Key] = [read_online_key(path) for path in online_keys or []]
    strengths = {**STRENGTHS, "root": Strength(root_keys, threshold)}
    most = {role: strength.keys for role, strength in strengths.items()} | ({} if public else {_ONLINE: 1})
    create = _create(folder, open_given(use or [], most, terminal_access()))
    if not public:
        public = [create(_ONLINE).public_key]
    made = trust.begin(strengths, public, create, _lives(root_days, targets_days), _now())
    for path in trust.write(folder, {"root": made.root, "targets": made.targets, **made.roles}):
        typer.echo(f"made {path}")
    for path in sorted((folder / KEYS).iterdir() if (folder / KEYS).is_dir() else []):
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
def renew(folder: Folder, role: Role, key: Keys = None, root_days: RootDays = 365, targets_days: TargetsDays = 90) -> None:
    """Signs a role's next version, with the same keys, which is good for a whole life again."""
    found = trust.load(folder)
    signers = _signers(folder, found, role, key)
    _finish(folder, found, trust.renew(found, role, signers, _lives(root_days, targets_days), _now()))


@app.command("rotate", epilog="Example: seawall-models trust rotate ceremony --role models")
def rotate(
    folder: Folder,
    role: Role,
    key: Keys = None,
    online_keys: OnlineKeys = None,
    root_days: RootDays = 365,
    targets_days: TargetsDays = 90,
    use: Annotated[
        list[str] | None, typer.Option(help="KEY, a file or pkcs11:…, in place of a key that would be made; may be repeated.")
    ] = None,
) -> None:
    """Gives a role new keys: signs what is above it, and what it has signed. For --role online, --online-keys are named in the root.

    The keys to sign with are those of what is above the role; for the root, those of the old root, which the new ones join.
    """
    found, lives = trust.load(folder), _lives(root_days, targets_days)
    above = "root" if role in ("root", "targets", _ONLINE) else "targets"
    if role == _ONLINE:
        public = [read_online_key(path) for path in online_keys or []]
        if not public or use:
            why = (
                "Name the new online keys with --online-keys: seawall-hub trust request prints a hub's, seawall-models trust key a token's."
            )
            raise InvalidRequest(Reason.FIELD_INVALID, why)
        _finish(folder, found, trust.replace_online(found, public, _signers(folder, found, above, key), lives, _now()))
        return
    keys = len(found.key_ids(role))
    signers = _signers(folder, found, above, key)
    create = _create(folder, open_given([f"{role}={name}" for name in use or []], {role: keys}, terminal_access()))
    fresh = [create(role) for _ in range(keys)]
    _finish(folder, found, trust.rotate(found, role, signers, fresh, lives, _now()))


@app.command("sign", epilog="Example: seawall-models trust sign staged.json --key agent-releases-0a1b2c3d4e5f.pem")
def sign(
    file: Annotated[
        Path, typer.Argument(help="Metadata of the ceremony, or what publish --stage has written.", exists=True, dir_okay=False)
    ],
    key: Annotated[list[str], typer.Option("--key", help="A key to sign with, a file or pkcs11:…; may be repeated.")],
) -> None:
    """Adds signatures to a file. Look at what it says before you sign it: seawall-models trust inspect FILE."""
    staged = staging.read(file)
    for signer in open_signers(key, terminal_access()).values():
        staged.metadata.sign(signer, append=True)
    staging.write(file, staged)
    typer.echo(f"{file} has {len(staged.metadata.signatures)} signatures.")


@app.command("key", epilog="Example: seawall-models trust key 'pkcs11:token=seawall;object=online' > online.json")
def key(name: Annotated[str, typer.Argument(help="A key: a file or pkcs11:….", metavar="KEY")]) -> None:
    """Prints a key's id and public half as JSON, which --online-keys takes too."""
    typer.echo(public_half(open_signer(name, terminal_access()).public_key))


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
        rest = "" if have >= want else f"; {want - have} more: seawall-models trust sign {path} --key KEY"
        typer.echo(f"made {path}: {have} of {want} signatures{rest}")
    typer.echo(f"Next, when all are signed: seawall-hub trust import {folder / METADATA}", err=True)


def _signers(folder: Path, found: Trust, role: str, given: list[str] | None) -> list[Signer]:
    key_ids = found.key_ids(role)
    signers = open_signers(given or find(folder / KEYS, key_ids), terminal_access())
    wrong = sorted(set(signers) - set(key_ids))
    if wrong or not signers:
        why = f"{wrong[0][:12]} is none of them" if wrong else f"none lies in {folder / KEYS}; name them with --key"
        raise InvalidRequest(Reason.FIELD_INVALID, f"Keys of {role} must sign: {why}.")
    return list(signers.values())


def _create(folder: Path, given: Mapping[str, list[Given]]) -> CreateKey:
    """Returns what gives a role the keys that are there first, and then makes new ones."""
    left, passphrase = {role: list(keys) for role, keys in given.items()}, cache(new_passphrase)

    def create(role: str) -> Signer:
        if not left.get(role):
            return create_key(folder / KEYS, role, passphrase())
        key = left[role].pop(0)
        note(folder / KEYS, role, key)
        return key.signer

    return create


def _lives(root_days: int, targets_days: int) -> Lives:
    return Lives(timedelta(days=root_days), timedelta(days=targets_days))


def _now() -> datetime:
    return datetime.now(UTC)
