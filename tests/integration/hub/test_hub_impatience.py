"""An operator in a hurry: whatever goes wrong is one line that says what to do, with the status that the runbook names."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.clock import utc_now
from hub.folder import DataFolder, create
from tests.fakes.hub_process import WAIT_SECONDS, HubProcess, run_hub, serving
from tests.fakes.tls import free_port

COMMANDS = [
    "agents list",
    "agents get plant-7",
    "agents label plant-7 site=oslo",
    "agents suspend plant-7",
    "agents resume plant-7",
    "agents retire plant-7 --yes",
    "groups list",
    "groups get oslo",
    "groups create oslo",
    "groups update oslo --priority 1",
    "groups quota oslo",
    "groups delete oslo",
    "config get oslo",
    "config set oslo floor=internal",
    "commands list",
    "commands send plant-7 restart",
    "events list",
    "events watch",
    "join-token",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("impatience") / "hub"
    create(DataFolder(data), "seawall.internal", [], utc_now)
    return data


@pytest.fixture(scope="module")
def served(made: Path) -> Iterator[HubProcess]:
    with serving(made) as process:
        yield process


@pytest.mark.parametrize("command", COMMANDS)
def test_where_no_hub_runs_a_command_says_how_to_start_one(made: Path, command: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    done = run_hub(*command.split(), "--data", str(made), SEAWALL_HUB_LISTENERS__MTLS=address)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: Nothing listens on {address}. Start the hub: seawall-hub serve; or correct [listeners] mtls in hub.toml.\n"
    )


def test_a_folder_that_is_not_there_is_named_and_how_to_name_another(tmp_path: Path) -> None:
    done = run_hub("agents", "list", "--data", str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert "--data or SEAWALL_HUB_DATA" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_hub_of_another_folder_is_told_apart_from_none(served: HubProcess, tmp_path: Path) -> None:
    create(DataFolder(tmp_path / "other"), "seawall.internal", [], utc_now)
    done = run_hub("agents", "list", "--data", str(tmp_path / "other"), SEAWALL_HUB_LISTENERS__MTLS=served.mtls)
    assert done.returncode == 1
    assert "is no hub of this data folder" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_variable_that_cannot_be_read_is_not_blamed_on_the_file(made: Path) -> None:
    done = run_hub("agents", "list", "--data", str(made), SEAWALL_HUB_LISTENERS="x")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "SEAWALL_HUB_* variable cannot be read" in done.stderr


def test_no_certificate_says_how_to_get_one(tmp_path: Path) -> None:
    create(DataFolder(tmp_path / "hub"), "seawall.internal", [], utc_now)
    (tmp_path / "hub" / "operator.crt").unlink()
    done = run_hub("agents", "list", "--data", str(tmp_path / "hub"))
    assert done.returncode == 1
    assert "seawall-hub init --data" in done.stderr


@pytest.mark.parametrize("arguments", [["agents", "lst"], ["agents", "list", "--ouput", "json"], ["restore", "nowhere.tar.gz"], ["serv"]])
def test_a_command_that_is_written_wrong_ends_with_2(arguments: list[str]) -> None:
    done = run_hub(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_version_is_told() -> None:
    assert run_hub("--version").stdout.startswith("seawall-hub ")


def begin(hub: HubProcess, *arguments: str, stdout: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hub", *arguments, "--data", str(hub.data)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SEAWALL_HUB_LISTENERS__MTLS": hub.mtls},
    )


def test_ctrl_c_ends_a_watch_without_a_word(served: HubProcess) -> None:
    served.operate("groups", "create", "watched")
    process = begin(served, "events", "watch", "--after", "0", stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert "groups/watched" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, rest.strip(), said) == (130, "", "")


@pytest.mark.parametrize("command", ["groups list --output json", "groups list", "events watch --after 0"])
def test_a_reader_that_has_gone_ends_a_command_without_a_word(served: HubProcess, command: str) -> None:
    served.operate("groups", "create", "read")
    reader, writer = os.pipe()
    os.close(reader)
    process = begin(served, *command.split(), stdout=writer)
    os.close(writer)
    _, said = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, said) == (1, "")


def test_a_full_disk_is_one_line(served: HubProcess) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    process = begin(served, "agents", "list", stdout=full)
    os.close(full)
    _, said = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, said) == (1, "error: It cannot be written: No space left on device. Make room, or write elsewhere.\n")


def test_a_hub_that_stops_ends_a_watch_with_a_line(made: Path) -> None:
    with serving(made) as hub:
        hub.operate("groups", "create", "last")
        process = begin(hub, "events", "watch", "--after", "0", stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        hub.end(signal.SIGTERM)
        _, said = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 1
    assert (said.startswith("error: "), len(said.splitlines())) == (True, 1)
