"""`seawall-models` as people run it."""

import os
import subprocess
import sys
from pathlib import Path

SECONDS = 100
PASSPHRASE = "correct horse"
Arguments = tuple[str | Path, ...]


def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"SEAWALL_PASSPHRASE": PASSPHRASE, "COLUMNS": "200"} | variables
    command = [sys.executable, "-m", "models", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=SECONDS, check=False)


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
