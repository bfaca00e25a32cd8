"""Reads the agent's settings. The only reader of TOML and of the environment.

Order, first wins: `SEAWALL_AGENT_…` environment variables (`__` between nested names), then the file, then the defaults of `agent.config`.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsError, TomlConfigSettingsSource

from agent.config import NESTED, PREFIX, AgentSettings
from contract.errors import InvalidRequest, Reason

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
SYSTEM_CONFIG = Path("/etc/seawall/agent.toml")


def find_config(given: Path | None) -> Path | None:
    """Returns the file to read: the one given, the one that $SEAWALL_AGENT_CONFIG names, the system's if it is there; else None.

    Raises:
        InvalidRequest: CONFIG_INVALID, the file that was named is not there, or may not be looked at.
    """
    named = given or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    try:
        if named is None:
            return SYSTEM_CONFIG if SYSTEM_CONFIG.is_file() else None
        if named.is_file():
            return named
    except OSError as error:
        raise InvalidRequest(Reason.CONFIG_INVALID, f"The configuration cannot be read: {error}.") from error
    raise InvalidRequest(Reason.CONFIG_INVALID, f"There is no configuration file {named}: check --config, or leave it out.")


def load_settings(given: Path | None = None) -> AgentSettings:
    """Reads the settings.

    Args:
        given: the file; None: see find_config.

    Raises:
        InvalidRequest: CONFIG_INVALID, with the file, the setting, and what is wrong with it.
    """
    path = find_config(given)
    _refuse_unknown_variables(os.environ)

    class FromFile(AgentSettings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: PydanticBaseSettingsSource, **sources: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (sources["env_settings"], TomlConfigSettingsSource(settings_cls, path))

    where = str(path or "the environment")
    try:
        return FromFile()
    except ValidationError as error:
        raise InvalidRequest(Reason.CONFIG_INVALID, f"{where}: {'; '.join(_complaint(item) for item in error.errors())}.") from error
    except (SettingsError, tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(Reason.CONFIG_INVALID, f"{where} cannot be read: {error}.") from error


def _refuse_unknown_variables(environment: Iterable[str]) -> None:
    """A section that does not exist would be passed over, and what it was to forbid would be allowed. The file's are refused anyway."""
    known = [CONFIG_VARIABLE, *(f"{PREFIX}{name}".upper() for name in AgentSettings.model_fields)]
    for variable in environment:
        section = PREFIX + variable.upper().removeprefix(PREFIX).split(NESTED)[0]
        if variable.upper().startswith(PREFIX) and section not in known:
            raise InvalidRequest(Reason.CONFIG_INVALID, f"{variable}: there is no such setting{_nearest(section, known)}.")


def _complaint(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] != "extra_forbidden":
        return f"{place}: {str(item['msg']).removeprefix('Value error, ')}"
    return f"{place}: there is no such setting{_nearest(str(item['loc'][-1]), _known_names(item['loc'][:-1]))}"


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f", did you mean {near[0]}?" if near else ""


def _known_names(place: Iterable[Any]) -> list[str]:
    model: Any = AgentSettings
    for part in place:
        annotation = model.model_fields[part].annotation
        model = next((choice for choice in get_args(annotation) if hasattr(choice, "model_fields")), annotation)  # of `X | None`
    return list(model.model_fields)
