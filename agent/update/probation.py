"""Whether a version that serves is to be kept: its live answers, held against those of the version before. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.store.live import LiveCounts
from agent.update.trial import Trial
from contract import health


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the figures say.

    Args:
        failed: the figure that is beyond its limit; empty: none is.
        figures: by name.
        limits: that they were held to.
        is_over: whether enough was seen to end the probation.
    """

    failed: str
    figures: Mapping[str, float]
    limits: Mapping[str, float]
    is_over: bool

    @property
    def sentence(self) -> str:
        """What is beyond its limit."""
        return health.beyond(self.failed, self.figures, self.limits)


def judge(seen: LiveCounts, before: LiveCounts, seconds: float, trial: Trial) -> Verdict:
    """Judges a probation.

    Errors count at once: as soon as there are more than may be among all the answers that are wanted. Shares are compared when these
    are there, or when time is up, and only as far as chance does not explain the difference.

    Args:
        seen: of the new version, since its probation began.
        before: of the old version.
        seconds: that the new one has served.
        trial: what is wanted.
    """
    is_late = seconds >= trial.probation_limit_seconds
    is_enough = seen.attempts >= trial.probation_answers or is_late
    figures = {health.ERROR_SHARE: seen.errors / max(seen.attempts, trial.probation_answers)}
    limits = {health.ERROR_SHARE: trial.limits[health.ERROR_SHARE]}
    if is_enough:
        rises = {
            health.ESCALATION_SHARE_RISE: health.rise(before.unsure, before.answers, seen.unsure, seen.answers),
            health.NEGATIVE_SHARE_RISE: health.rise(
                min(before.bad, before.answers), before.answers, min(seen.bad, seen.answers), seen.answers
            ),
        }
        for name, found in rises.items():
            if found is not None:
                figures[name], limits[name] = found[0], trial.limits[name] + found[1]
    is_over = (is_enough and seconds >= trial.probation_seconds) or is_late
    return Verdict(health.first_failed(figures, limits), figures, limits, is_over)
