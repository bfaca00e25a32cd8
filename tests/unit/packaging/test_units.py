"""The units: systemd understands every line, and thinks little is left open."""

import re
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).resolve().parents[3] / "packaging" / "systemd"
UNITS = ("seawall-agent.service", "seawall-hub.service")
MOST_EXPOSED = 15
"""In tenths of systemd-analyze's scale, on which 0 can do nothing and 100 everything."""


def service(name: str) -> dict[str, list[str]]:
    """The settings of a unit's [Service], each with all the values that it is given."""
    settings: dict[str, list[str]] = {}
    section = (SYSTEMD / name).read_text().split("[Service]")[1].split("[Install]")[0]
    for key, value in re.findall(r"^(\w+)=(.*)$", section, re.MULTILINE):
        settings.setdefault(key, []).append(value)
    return settings


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], check=False, capture_output=True, text=True, timeout=60)


def copy(name: str, folder: Path, addition: str = "") -> str:
    """A copy whose programs are there, which is all that it lacks on a machine where nothing is installed."""
    text = re.sub("^ExecStart=.*$", f"ExecStart=/bin/true{addition}", (SYSTEMD / name).read_text(), flags=re.MULTILINE)
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize("name", UNITS)
def test_systemd_has_nothing_to_say_of_a_unit(name: str, tmp_path: Path) -> None:
    done = analyze("verify", "--man=no", copy(name, tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_setting_that_systemd_does_not_know_is_found(tmp_path: Path) -> None:
    assert "ProtectEverything" in analyze("verify", "--man=no", copy(UNITS[0], tmp_path, "\nProtectEverything=yes")).stderr


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_leaves_little_open(name: str) -> None:
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager", str(SYSTEMD / name))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_may_write_its_own_folder_alone_and_nobody_else_may_read_that(name: str) -> None:
    settings = service(name)
    user = name.removesuffix(".service")
    assert settings["User"] == [user]
    assert settings["StateDirectory"] == [user]
    assert settings["StateDirectoryMode"] == ["0700"]
    assert settings["UMask"] == ["0077"]
    assert settings["ProtectSystem"] == ["strict"]
    assert "ReadWritePaths" not in settings


@pytest.mark.parametrize("name", UNITS)
def test_the_user_of_a_unit_is_one_that_sysusers_makes(name: str) -> None:
    user = name.removesuffix(".service")
    assert (SYSTEMD / f"{user}.sysusers").read_text().split()[:2] == ["u", user]


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_started_again_for_ever(name: str) -> None:
    assert service(name)["Restart"] == ["always"]
    assert "StartLimitIntervalSec=0" in (SYSTEMD / name).read_text()


@pytest.mark.parametrize(("name", "seconds"), [("seawall-agent.service", "60"), ("seawall-hub.service", "120")])
def test_a_unit_that_no_longer_answers_is_ended(name: str, seconds: str) -> None:
    assert service(name)["WatchdogSec"] == [seconds]


@pytest.mark.parametrize("name", UNITS)
def test_secrets_reach_a_unit_as_credentials(name: str) -> None:
    (credential,) = service(name)["LoadCredential"]
    assert credential.startswith("secret:/etc/")


@pytest.mark.parametrize("name", UNITS)
def test_no_dump_of_the_memory_with_prompts_in_it_is_written(name: str) -> None:
    assert service(name)["LimitCORE"] == ["0"]
