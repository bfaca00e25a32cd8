"""What a device gets: the agent and its own dependencies, from the locked file, and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FORBIDDEN = {
    "alembic",
    "anthropic",
    "flwr",
    "grpcio-health-checking",
    "grpcio-reflection",
    "openai",
    "optimum",
    "purgatory",
    "sqlalchemy",
    "torch",
    "transformers",
}
LIMIT_BYTES = 450_000_000


@pytest.fixture(scope="module")
def agent_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    venv = tmp_path_factory.mktemp("device") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(venv / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    lock = [f"--requirement={ROOT / 'requirements' / name}" for name in ("agent.txt", "build-backend.txt")]
    subprocess.run([*pip, "--require-hashes", *lock], check=True, capture_output=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", str(ROOT)], check=True, capture_output=True)
    return venv


@pytest.mark.timeout(400)
def test_an_agents_venv_holds_nothing_of_the_hub_and_stays_small(agent_venv: Path) -> None:
    listing = subprocess.run([str(agent_venv / "bin" / "pip"), "list", "--format=json"], check=True, capture_output=True, text=True)
    names = {package["name"].lower().replace("_", "-") for package in json.loads(listing.stdout)}
    assert not names & FORBIDDEN
    assert sum(file.stat().st_size for file in agent_venv.rglob("*") if file.is_file() and not file.is_symlink()) < LIMIT_BYTES


def test_the_agent_starts_from_it_and_says_what_is_missing(agent_venv: Path, tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(f'state_folder = "{tmp_path / "state"}"\n[model]\nbundle = "{tmp_path / "none"}"\n')
    done = subprocess.run(
        [str(agent_venv / "bin" / "seawall-agent"), "run", "--config", str(config)],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == 1
    assert "model bundle" in done.stderr
    assert "Traceback" not in done.stderr
