"""ONNX Runtime tells its maker nothing: what it would send, it first writes into the user's home."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
MODULES = ["agent.inference.session", "agent.inference.engine", "agent.daemon", "models.check"]


def run(program: str, home: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | {"HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-c", program], check=True, cwd=ROOT, env=environment, timeout=60, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize("module", MODULES)
def test_the_word_is_said_before_onnx_runtime_is_loaded(module: str, tmp_path: Path) -> None:
    """The library reads the word once, when it is loaded: a later one would come too late."""
    program = (
        "import builtins, os\n"
        "said, load = [], builtins.__import__\n"
        "def watch(name, *rest, **named):\n"
        "    if name.split('.')[0] == 'onnxruntime':\n"
        "        said.append(os.environ.get('ORT_DISABLE_TELEMETRY'))\n"
        "    return load(name, *rest, **named)\n"
        f"builtins.__import__ = watch\nimport {module}\nprint(said and set(said) == {{'1'}})"
    )
    assert run(program, tmp_path) == "True\n"


@pytest.mark.parametrize("module", MODULES)
def test_importing_the_decoder_writes_nothing_into_the_users_home(module: str, tmp_path: Path) -> None:
    run(f"import {module}, onnxruntime; onnxruntime.get_available_providers()", tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == []
