"""What systemd hands over as files reaches a program as variables."""

import subprocess
from pathlib import Path

import pytest

LAUNCHER = Path(__file__).resolve().parents[3] / "packaging" / "systemd" / "with-credentials"


def environment(folder: Path | None) -> dict[str, str]:
    given = {"PATH": "/usr/bin:/bin"} | ({"CREDENTIALS_DIRECTORY": str(folder)} if folder else {})
    done = subprocess.run([str(LAUNCHER), "env", "--null"], env=given, check=True, capture_output=True, text=True)
    return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)


def test_a_file_becomes_a_variable_of_its_name_without_the_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "secret_SEAWALL_AGENT_MQTT__PASSWORD").write_text("a b'\"$(true)\n")
    assert environment(tmp_path)["SEAWALL_AGENT_MQTT__PASSWORD"] == "a b'\"$(true)"


@pytest.mark.parametrize("name", ["secret_mqtt.key", "secret_1", "secret_a-b", "other"])
def test_a_file_whose_name_is_no_variables_stays_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("key")
    assert "key" not in environment(tmp_path).values()


@pytest.mark.parametrize("there", [True, False])
def test_no_secret_at_all_is_no_error(tmp_path: Path, there: bool) -> None:
    assert "PATH" in environment(tmp_path if there else None)


def test_the_program_takes_the_launchers_place_so_that_systemd_knows_it() -> None:
    process = subprocess.Popen([str(LAUNCHER), "sh", "-c", "echo $$"], stdout=subprocess.PIPE, text=True)
    said, _ = process.communicate(timeout=20)
    assert int(said) == process.pid
