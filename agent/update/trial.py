"""How a version is tried on this device: what a rollout says of it, with what it leaves unsaid filled in."""

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from contract import health
from seawall.hub.v1.rollout_pb2 import Trial as TrialMessage

_HOUR = 3600.0
_DAY = 24 * _HOUR


@dataclass(frozen=True, slots=True)
class Trial:
    """One version's trial; the defaults are those of `seawall.hub.v1.Trial`.

    Args:
        shadow_percent: of live prompts, given to the version as well before it serves.
        shadow_answers: so many end that.
        shadow_seconds: or so long.
        probation_answers: live ones that it must give.
        probation_seconds: that it must have served.
        probation_limit_seconds: after which too few answers are enough.
        limits: by the figure's name; the bundle's own hold as well.
    """

    shadow_percent: int
    shadow_answers: int
    shadow_seconds: float
    probation_answers: int
    probation_seconds: float
    probation_limit_seconds: float
    limits: Mapping[str, float]


def read_trial(message: TrialMessage) -> Trial:
    """Reads what a rollout says."""
    limits = {
        health.ERROR_SHARE: message.max_error_share if message.HasField("max_error_share") else 0.02,
        health.ESCALATION_SHARE_RISE: message.max_escalation_share_rise if message.HasField("max_escalation_share_rise") else 0.1,
        health.NEGATIVE_SHARE_RISE: message.max_negative_share_rise if message.HasField("max_negative_share_rise") else 0.1,
        health.SPEED_RATIO: message.min_speed_ratio if message.HasField("min_speed_ratio") else 0.5,
        health.PERPLEXITY_RATIO: message.max_perplexity_ratio if message.HasField("max_perplexity_ratio") else 1.5,
    }
    if message.min_shadow_agreement:
        limits[health.SHADOW_AGREEMENT] = message.min_shadow_agreement
    probation_seconds = _seconds(message, "probation_time", 600.0)
    return Trial(
        shadow_percent=min(100, max(0, message.shadow_percent)),
        shadow_answers=message.shadow_answers if message.shadow_answers > 0 else 50,
        shadow_seconds=_seconds(message, "shadow_time", _HOUR),
        probation_answers=message.probation_answers if message.probation_answers > 0 else 20,
        probation_seconds=probation_seconds,
        probation_limit_seconds=max(probation_seconds, _seconds(message, "probation_limit", _DAY)),
        limits=limits,
    )


def _seconds(message: TrialMessage, field: str, default: float) -> float:
    if not message.HasField(field):  # type: ignore[arg-type]  # the stubs want a literal
        return default
    value: Duration = getattr(message, field)
    return max(0.0, value.ToNanoseconds() / 1e9)
