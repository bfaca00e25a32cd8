"""The commands: help with an example everywhere, errors that say what to do, never a traceback."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from click import Command, Group
from typer.main import get_command
from typer.testing import CliRunner

from contract.errors import InvalidRequest, NotPossibleNow, Reason
from hub.__main__ import app, main
from hub.clock import utc_now
from hub.console.options import parse_duration
from hub.folder import DataFolder, create


def leaves(command: Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(command, Group):
        return [leaf for name, child in command.commands.items() for leaf in leaves(child, (*path, name))]
    return [path]


COMMANDS = leaves(get_command(app))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [*os.environ]:
        if name.startswith("SEAWALL_HUB_"):
            monkeypatch.delenv(name)


def error_of(*arguments: str) -> str:
    """Runs a command that must fail, as the script does, and returns what it says."""
    with pytest.raises(SystemExit) as raised:
        main(lambda: app(arguments))
    assert raised.value.code == 1
    return str(raised.value.__cause__)


def test_there_are_the_commands_that_are_promised() -> None:
    assert sorted(" ".join(command) for command in COMMANDS) == [
        *(f"agents {name}" for name in ("get", "label", "list", "resume", "retire", "suspend")),
        *(f"audit {name}" for name in ("challenge", "export", "head", "list", "verify", "witnessed")),
        "backup",
        *(f"ca {name}" for name in ("finish", "rotate", "status")),
        *(f"commands {name}" for name in ("cancel", "get", "list", "send")),
        *("config get", "config set"),
        *("events list", "events watch"),
        *(f"groups {name}" for name in ("create", "delete", "get", "list", "quota", "update")),
        *("init", "join-token"),
        *(f"learning {name}" for name in ("report", "roster", "rounds", "start", "sums")),
        *("releases list", "releases show"),
        "restore",
        *(f"rollouts {name}" for name in ("agents", "approve", "cancel", "create", "get", "list", "pause", "resume", "roll-back", "watch")),
        "serve",
        "tokens create",
        *(f"trust {name}" for name in ("export", "import", "publisher", "request", "show")),
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_that_names_it(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert f"Example: seawall-hub {' '.join(command)}" in result.output
    assert "--data" in result.output


def test_init_makes_a_folder_once(tmp_path: Path) -> None:
    first = CliRunner().invoke(app, ["init"])
    assert first.exit_code == 0
    assert "seawall-hub serve" in first.output
    assert (tmp_path / "seawall-hub" / "ca.crt").exists()
    second = CliRunner().invoke(app, ["init"])
    assert second.exit_code == 0
    assert "nothing was changed" in second.output


def test_the_data_folder_can_come_from_the_environment(tmp_path: Path) -> None:
    assert CliRunner(env={"SEAWALL_HUB_DATA": str(tmp_path / "there")}).invoke(app, ["init"]).exit_code == 0
    assert (tmp_path / "there" / "hub.toml").exists()


@pytest.mark.parametrize("command", [("serve",), ("join-token",), ("agents", "list")])
def test_without_init_each_command_says_to_run_it(command: tuple[str, ...]) -> None:
    assert "seawall-hub init" in error_of(*command)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("trust_domain =", "cannot be read"),
        ("bogus = 1", "bogus: unknown key"),
        ('[[providers]]\nname="a"\nkind="openai"\nmodel="m"\ntier="private"\nregion="x"\napi_key_env="NOT_SET_KEY"', "NOT_SET_KEY"),
    ],
)
def test_serve_names_what_is_wrong_with_the_settings(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "hub.toml").write_text(text)
    assert named in error_of("serve", "--data", str(tmp_path))


@pytest.mark.parametrize("command", [("join-token",), ("agents", "list")])
def test_without_a_hub_each_command_says_to_start_it(tmp_path: Path, command: tuple[str, ...]) -> None:
    create(DataFolder(tmp_path), "seawall.test", [], utc_now)
    (tmp_path / "hub.toml").write_text('trust_domain = "seawall.test"\n[listeners]\nmtls = "127.0.0.1:1"')
    message = error_of(*command, "--data", str(tmp_path))
    assert "127.0.0.1:1" in message
    assert "seawall-hub serve" in message


def test_an_expired_operator_is_told_how_to_become_a_new_one(tmp_path: Path) -> None:
    create(DataFolder(tmp_path), "seawall.test", [], lambda: utc_now() - timedelta(days=800))
    message = error_of("join-token", "--data", str(tmp_path))
    assert "operator.crt has expired. Delete it and run: seawall-hub init" in message
    (tmp_path / "operator.crt").unlink()
    assert CliRunner().invoke(app, ["init", "--data", str(tmp_path)]).exit_code == 0


@pytest.mark.parametrize("arguments", [["serve", "--bogus"], ["agents", "list", "--output", "xml"], ["init", "--data"], ["nonsense"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        raise NotPossibleNow(Reason.CONFIG_INVALID, "Do this.")

    with pytest.raises(SystemExit):
        main(run)
    assert capsys.readouterr().err == "error: Do this.\n"


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1), ("15m", 900), ("1h", 3600), ("30d", 2592000), ("0s", 0), ("999999999s", 999999999)]
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1.5h", "1h30m", "1 h", "1w", "1234567890s", "\uff11h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_duration(text)
    assert raised.value.reason is Reason.TTL_INVALID
