"""`seawall-models` as people run it."""

import subprocess
from pathlib import Path

from tests.fakes.commands import run_command

SECONDS = 100
PASSPHRASE = "correct horse"
Arguments = tuple[str | Path, ...]


def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    fixed = {"SEAWALL_PASSPHRASE": PASSPHRASE, "COLUMNS": "200"}
    return run_command("models", *arguments, seconds=SECONDS, **(fixed | variables))


def done(*arguments: str | Path, **variables: str) -> str:
    result = run(*arguments, **variables)
    assert result.returncode == 0, result.stderr
    return result.stdout


def refused(*arguments: str | Path, **variables: str) -> str:
    """The one line that says why."""
    result = run(*arguments, **variables)
    assert result.returncode in (1, 2)
    assert "Traceback" not in result.stderr
    last = result.stderr.rstrip().splitlines()[-1]
    assert last.startswith("error: ")
    return last


def keys(folder: Path, role: str) -> list[Path]:
    return sorted((folder / "keys").glob(f"{role}-*.pem"))
