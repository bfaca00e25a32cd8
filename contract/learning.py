"""What a device and a hub must agree on of a round, beside the protocol: which span of time it is about, and how much noise its sum bears.

A window is a week of ISO 8601, in UTC, that is over. A sum either bears noise, of an amount that is written here, or it bears none: each
is a schema of its own, so that a round's plan says which, and a device that adds noise is in no sum with one that adds none.
"""

import hashlib
import re
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from contract.errors import InvalidRequest, Reason
from contract.leaves import canonical
from contract.privacy_account import rho_of_sum
from contract.privacy_noise import Noise
from contract.secagg.messages import Plan
from contract.secagg.rules import Terms, fewest_honest
from contract.subjects import Subject

NOISE_MULTIPLIER = 4
"""The noise of a sum has a standard deviation of so many norms: a window costs a device a rho of 1/32, whatever the sum is of."""

WINDOWS_KEPT = 4
"""A window can be reported for so many weeks after its end: a hub that was away has until then."""

_WEEK = timedelta(days=7)
_WINDOW = re.compile(r"([0-9]{4})-W([0-9]{2})")


def schema(subject: Subject, is_exact: bool) -> bytes:
    """Returns the hash of what each entry means, and of how much noise is in it."""
    pinned = {**subject.meaning(), "noise_multiplier": 0 if is_exact else NOISE_MULTIPLIER}
    return hashlib.sha256(canonical(pinned).encode()).digest()


def terms(subject: Subject, week: str, is_exact: bool) -> Terms:
    """Returns what there is to report."""
    return Terms(subject.window(week), schema(subject, is_exact), subject.entries, subject.scale_bits)


def noise_of(subject: Subject, plan: Plan) -> Noise:
    """Returns the noise of a round's sum."""
    return Noise(subject.norm, Fraction(NOISE_MULTIPLIER * subject.norm) ** 2, fewest_honest(plan))


def rho_of(subject: Subject, plan: Plan) -> float:
    """Returns what a round costs a device of its privacy, if nobody but the fewest honest devices add noise."""
    noise = noise_of(subject, plan)
    return rho_of_sum(noise.norm, noise.variance_each, noise.fewest_honest, plan.entries)


def window_of(time: datetime) -> str:
    """Returns the week that a time lies in: `2026-W48`."""
    year, week, _ = time.astimezone(UTC).isocalendar()
    return f"{year:04}-W{week:02}"


def span(window: str) -> tuple[datetime, datetime]:
    """Returns when a window begins, and when the next one does.

    Raises:
        InvalidRequest: FIELD_INVALID, there is no such week.
    """
    found = _WINDOW.fullmatch(window)
    try:
        if found is None:
            raise ValueError(window)
        day = date.fromisocalendar(int(found[1]), int(found[2]), 1)
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return begin, begin + _WEEK
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(Reason.FIELD_INVALID, f"'{window[:40]}' is no week: write it as 2026-W48.") from error


def window_before(window: str) -> str:
    """Returns the week before a window; empty: it is the first that there is.

    Raises:
        InvalidRequest: FIELD_INVALID, there is no such week.
    """
    begin, _ = span(window)
    return window_of(begin - _WEEK) if begin - datetime.min.replace(tzinfo=UTC) >= _WEEK else ""


def windows_over(now: datetime) -> tuple[str, ...]:
    """Returns the windows that can be reported now, the newest first."""
    return tuple(window_of(now - number * _WEEK) for number in range(1, WINDOWS_KEPT + 1))
