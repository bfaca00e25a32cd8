"""What an operator types or writes into a file for a rollout, read into what the hub is asked for."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict, ParseError

from contract.errors import InvalidRequest, Reason, SeawallError
from hub.console.options import parse_duration
from seawall.hub.v1 import rollout_pb2

ANY_NUMBER = 2**31 - 1
CANARY_PERCENT = 10

_HOW_WAVE = "write it as in: --wave 'labels.site = oslo; percent=50, soak=1h, approve'"
_HOW_WINDOW = "write it as in: --window 'mon-fri 22:00-06:00'"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIMES = ("soak_time", "patience", "shadow_time", "probation_time", "probation_limit")
_DURATIONS = {*_TIMES, *(re.sub(r"_([a-z])", lambda match: match[1].upper(), name) for name in _TIMES)}
_WINDOW = re.compile(r"(?:([a-z,-]+) )?(\d\d:\d\d)-(\d\d:\d\d)")


def read_file(path: Path) -> rollout_pb2.Rollout:
    """Reads a rollout from TOML or JSON: the fields of the proto, a duration as in "3600s" or "1h".

    Raises:
        InvalidRequest: FIELD_INVALID.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        return ParseDict(_plain(content), rollout_pb2.Rollout())
    except (OSError, ValueError, ParseError, SeawallError) as error:
        raise _invalid(f"{path} is no rollout: {str(error)[:300]}", "give .toml or .json with the fields of the proto") from error


def read_wave(text: str) -> rollout_pb2.Wave:
    """Reads a wave: a filter and options, each behind a semicolon or a comma.

    Raises:
        InvalidRequest: FIELD_INVALID.
    """
    wave = rollout_pb2.Wave()
    for part in filter(None, (part.strip() for part in text.split(";"))):
        if _is_options(part):
            for option in part.split(","):
                _set_option(wave, option.strip())
        elif wave.expression:
            raise _invalid(f"the wave '{text[:80]}' has two filters", _HOW_WAVE)
        else:
            wave.expression = part
    return wave


def default_waves() -> list[rollout_pb2.Wave]:
    """Returns a canary, then all."""
    canary = rollout_pb2.Wave(percent=CANARY_PERCENT, soak_time=_duration("1h"))
    return [canary, rollout_pb2.Wave()]


def read_window(text: str) -> rollout_pb2.Window:
    """Reads hours, and the days on which they begin.

    Raises:
        InvalidRequest: FIELD_INVALID.
    """
    match = _WINDOW.fullmatch(text.strip().lower())
    if match is None:
        raise _invalid(f"'{text[:80]}' is no window", _HOW_WINDOW)
    days = [day for part in (match[1] or "").split(",") if part for day in _days(part, text)]
    return rollout_pb2.Window(days=days, begin=match[2], end=match[3])


def put_together(
    written: rollout_pb2.Rollout, version: str, expression: str, waves: Sequence[str], windows: Sequence[str]
) -> rollout_pb2.Rollout:
    """Returns what is in a file, with what was typed in its place.

    Raises:
        InvalidRequest: FIELD_INVALID.
    """
    result = rollout_pb2.Rollout()
    result.CopyFrom(written)
    result.model_version = version or written.model_version
    result.expression = expression or written.expression
    if waves or not written.waves:
        del result.waves[:]
        result.waves.extend([read_wave(text) for text in waves] or default_waves())
    if windows:
        del result.windows[:]
        result.windows.extend(read_window(text) for text in windows)
    if not result.model_version:
        raise _invalid(
            "no version is given", "write --version models/MODEL/versions/VERSION; seawall-hub releases list shows what there is"
        )
    return result


def limit_failures(gates: rollout_pb2.Gates, max_failed: int | None, max_failed_share: float | None) -> None:
    """Sets how many agents may fail: where one of the two alone is given, the other one lets all pass."""
    if max_failed is not None or max_failed_share is not None:
        gates.max_failed = ANY_NUMBER if max_failed is None else max_failed
        gates.max_failed_share = 1 if max_failed_share is None else max_failed_share


def _is_options(part: str) -> bool:
    return all(re.fullmatch(r"approve|(?:percent|soak|patience) *=.*", option.strip()) for option in part.split(","))


def _set_option(wave: rollout_pb2.Wave, option: str) -> None:
    name, _, value = (part.strip() for part in option.partition("="))
    if name == "approve":
        wave.needs_approval = True
    elif name == "percent":
        if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= 100:
            raise _invalid(f"'{value[:20]}' is no percent from 1 to 100", _HOW_WAVE)
        wave.percent = int(value)
    elif name == "soak":
        wave.soak_time.CopyFrom(_duration(value))
    else:
        wave.patience.CopyFrom(_duration(value))


def _days(part: str, text: str) -> list[int]:
    first, _, last = part.partition("-")
    if first not in _DAYS or (last or first) not in _DAYS:
        raise _invalid(f"'{text[:80]}' has a day that is none of {', '.join(_DAYS)}", _HOW_WINDOW)
    begin, end = _DAYS.index(first), _DAYS.index(last or first)
    return [(begin + step) % 7 + 1 for step in range((end - begin) % 7 + 1)]


def _duration(text: str) -> Duration:
    result = Duration()
    result.FromTimedelta(parse_duration(text))
    return result


def _plain(value: Any, name: str = "") -> Any:
    """Durations as people write them become those of protobuf's JSON."""
    if isinstance(value, Mapping):
        return {key: _plain(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    is_ours = name in _DURATIONS and isinstance(value, str) and re.fullmatch(r"[0-9]+[mhd]", value)
    return f"{int(parse_duration(value).total_seconds())}s" if is_ours else value


def _invalid(what: str, how: str) -> InvalidRequest:
    return InvalidRequest(Reason.FIELD_INVALID, f"The rollout cannot be made: {what}; {how}.")
