"""What an operator wants of a rollout, read and checked once."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from contract.errors import InvalidRequest, Reason
from hub.fleet import filters
from hub.fleet.filters import Filter
from hub.release.windows import Window
from seawall.hub.v1 import rollout_pb2

DEFAULT_PATIENCE = timedelta(hours=1)
DEFAULT_STUCK_SHARE = 0.5
MAX_WAVES = 20
MAX_WINDOWS = 50
MAX_TIME = timedelta(days=365)

_VERSION = re.compile(r"models/([a-z0-9][a-z0-9.-]{0,62})/versions/([a-z0-9][a-z0-9.-]{0,62})")
_GATE_SHARES = (
    "max_failed_share",
    "max_stuck_share",
    "max_escalation_share_rise",
    "max_negative_share_rise",
    "max_learned_negative_share_rise",
)
_TRIAL_SHARES = ("min_shadow_agreement", "max_error_share", "max_escalation_share_rise", "max_negative_share_rise")


@dataclass(frozen=True, slots=True)
class Wave:
    """See the proto. `percent` is from 1 to 100."""

    chosen: Filter
    percent: int
    soak_time: timedelta
    needs_approval: bool
    patience: timedelta


@dataclass(frozen=True, slots=True)
class Gates:
    """See the proto. None: not looked at."""

    max_failed_share: float
    max_failed: int
    max_stuck_share: float
    max_escalation_share_rise: float | None
    min_speed_ratio: float | None
    max_negative_share_rise: float | None
    max_learned_negative_share_rise: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All that does not change of a rollout.

    Args:
        rollout_id: its id; agents are drawn by it.
        model_version: `models/{model}/versions/{version}`.
        chosen: which agents at all.
        waves: in their order.
        gates: when it stops by itself.
        windows: when agents may be chosen.
    """

    rollout_id: str
    model_version: str
    chosen: Filter
    waves: tuple[Wave, ...]
    gates: Gates
    windows: tuple[Window, ...]

    def wave_of(self, agent_id: str, labels: Mapping[str, str]) -> int | None:
        """Returns the first wave that an agent is of; None: it is of none."""
        fields = {f"labels.{key}": value for key, value in labels.items()}
        if not self.chosen.matches(fields):
            return None
        drawn = draw(self.rollout_id, agent_id)
        matching = (number for number, wave in enumerate(self.waves) if drawn < wave.percent and wave.chosen.matches(fields))
        return next(matching, None)


def draw(rollout_id: str, agent_id: str) -> float:
    """Returns a number from 0 to below 100 that is an agent's own in a rollout, evenly spread over agents."""
    digest = hashlib.sha256(f"{rollout_id}/{agent_id}".encode()).digest()
    return int.from_bytes(digest[:6], "big") * 100 / 2**48


def wanted_of(message: rollout_pb2.Rollout) -> rollout_pb2.Rollout:
    """Returns what a rollout's maker has filled in, without what the hub says of it."""
    return rollout_pb2.Rollout(
        model_version=message.model_version,
        expression=message.expression,
        waves=message.waves,
        gates=message.gates,
        windows=message.windows,
        trial=message.trial,
    )


def split_version(version: str) -> tuple[str, str]:
    """Returns the two ids in `models/{model}/versions/{version}`.

    Raises:
        InvalidRequest: NAME_INVALID.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        raise InvalidRequest(Reason.NAME_INVALID, f"'{version[:160]}' is no version's name: use models/MODEL/versions/VERSION.")
    return match[1], match[2]


@lru_cache(maxsize=64)
def read_plan(rollout_id: str, wanted: bytes) -> Plan:
    """Reads a serialised Rollout, of which no more than what is wanted counts.

    Raises:
        InvalidRequest: NAME_INVALID, FILTER_INVALID, FIELD_INVALID.
    """
    message = rollout_pb2.Rollout.FromString(wanted)
    split_version(message.model_version)
    if not 1 <= len(message.waves) <= MAX_WAVES:
        raise _invalid(f"waves are 1 to {MAX_WAVES}")
    if len(message.windows) > MAX_WINDOWS:
        raise _invalid(f"windows are at most {MAX_WINDOWS}")
    _check_trial(message.trial)
    return Plan(
        rollout_id,
        message.model_version,
        _filter(message.expression),
        tuple(_wave(wave) for wave in message.waves),
        _gates(message.gates),
        tuple(Window.read(window) for window in message.windows),
    )


def _wave(message: rollout_pb2.Wave) -> Wave:
    if not 0 <= message.percent <= 100:
        raise _invalid("a wave's percent is from 1 to 100; 0 is 100")
    patience = _time(message, "patience") if message.HasField("patience") else DEFAULT_PATIENCE
    if not patience:
        raise _invalid("a wave's patience is above 0")
    return Wave(_filter(message.expression), message.percent or 100, _time(message, "soak_time"), message.needs_approval, patience)


def _gates(message: rollout_pb2.Gates) -> Gates:
    if message.max_failed < 0:
        raise _invalid("max_failed is not negative")
    _check_numbers(message, _GATE_SHARES, most=1)
    _check_numbers(message, ("min_speed_ratio",))
    return Gates(
        message.max_failed_share,
        message.max_failed,
        message.max_stuck_share if message.HasField("max_stuck_share") else DEFAULT_STUCK_SHARE,
        message.max_escalation_share_rise if message.HasField("max_escalation_share_rise") else None,
        message.min_speed_ratio if message.HasField("min_speed_ratio") else None,
        message.max_negative_share_rise if message.HasField("max_negative_share_rise") else None,
        message.max_learned_negative_share_rise if message.HasField("max_learned_negative_share_rise") else None,
    )


def _check_trial(trial: rollout_pb2.Trial) -> None:
    """The agent makes of it what it does; here it is checked for mistakes, while somebody is there to mend them."""
    if not 0 <= trial.shadow_percent <= 100:
        raise _invalid("trial.shadow_percent is from 0 to 100")
    if trial.shadow_answers < 0 or trial.probation_answers < 0:
        raise _invalid("a trial's answers are not negative")
    for name in ("shadow_time", "probation_time", "probation_limit"):
        _time(trial, name)
    _check_numbers(trial, _TRIAL_SHARES, most=1)
    _check_numbers(trial, ("min_speed_ratio", "max_perplexity_ratio"))


def _check_numbers(message: Message, names: Sequence[str], most: float = 1000.0) -> None:
    for name in names:
        value = getattr(message, name)
        if not math.isfinite(value) or not 0 <= value <= most:
            raise _invalid(f"{name} is from 0 to {most:g}")


def _time(message: Message, name: str) -> timedelta:
    duration: Duration = getattr(message, name)
    try:
        time = duration.ToTimedelta()
    except (OverflowError, ValueError) as error:
        raise _invalid(f"{name} cannot be read") from error
    if not timedelta(0) <= time <= MAX_TIME:
        raise _invalid(f"{name} is from 0 to {MAX_TIME.days} days")
    return time


def _filter(expression: str) -> Filter:
    parsed = filters.parse(expression)
    if others := sorted(field for field in filters.fields_of(parsed) if not field.startswith("labels.")):
        raise InvalidRequest(Reason.FILTER_INVALID, f"A rollout chooses by labels alone, and not by {others[0]}: use labels.KEY.")
    return parsed


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.FIELD_INVALID, f"The rollout cannot be made: {why}. See: seawall-hub rollouts create --help")
