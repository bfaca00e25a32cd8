"""What the documents say is there, is there."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from pydantic import BaseModel

from agent.__main__ import app as agent_app
from agent.config import AgentSettings
from agent.config_file import load_settings
from hub.__main__ import app as hub_app
from models.commands import app as models_app

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def commands(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(command, click.Group):
        for child_name, child in command.commands.items():
            yield from commands(child, f"{name} {child_name}")
    else:
        yield name, f"{command.help or ''} {command.epilog or ''}"


def parameters(command: click.Command, path: str) -> Iterator[tuple[str, click.Parameter]]:
    for parameter in command.params:
        if parameter.name not in ("install_completion", "show_completion"):
            yield path, parameter
    if isinstance(command, click.Group):
        for child_name, child in command.commands.items():
            yield from parameters(child, f"{path} {child_name}")


APPS = {"seawall-agent": agent_app, "seawall-hub": hub_app, "seawall-models": models_app}
COMMANDS = [found for name, app in APPS.items() for found in commands(typer.main.get_command(app), name)]


def settings_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings_names(field.annotation, f"{name}.")
        else:
            yield f"{prefix}{name}"


def documented() -> dict[str, Any]:
    """docs/agent.toml with every default uncommented; the ones that depend on the machine are left out."""
    lines = (ROOT / "docs" / "agent.toml").read_text().splitlines()
    return tomllib.loads("\n".join(re.sub(r"^# (?=[a-z_]+ = )", "", line) for line in lines))


def test_the_readme_has_at_most_600_words() -> None:
    assert len(README.split()) <= 600


def test_every_make_target_in_the_documents_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for document in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"^\s*(?:\$ )?make ([a-z-]+)", (ROOT / document).read_text(), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / link).exists(), link


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    content = documented()
    flat = {f"{section}.{name}" for section, values in content.items() if isinstance(values, dict) for name in values}
    flat |= {name for name, value in content.items() if not isinstance(value, dict)}
    assert flat == set(settings_names(AgentSettings))


def test_the_documented_defaults_are_the_defaults(tmp_path: Path) -> None:
    lines = (ROOT / "docs" / "agent.toml").read_text().splitlines()
    varying = re.compile(r'^# (agent_id|threads|calibrated_bar|username|keys|tls|\w+ = "…")')
    kept = [re.sub(r"^# (?=[a-z_]+ = )", "", line) for line in lines if not varying.match(line)]
    file = tmp_path / "agent.toml"
    file.write_text("\n".join(kept))
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    assert load_settings(file).model_dump() == load_settings(empty).model_dump()


def test_every_argument_and_option_says_what_it_is() -> None:
    for name, app in APPS.items():
        for path, parameter in parameters(typer.main.get_command(app), name):
            assert getattr(parameter, "help", None), f"{path} {parameter.name}"


@pytest.mark.parametrize(("command", "text"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_every_commands_help_has_an_example(command: str, text: str) -> None:
    assert "Example" in text
    assert command in text
