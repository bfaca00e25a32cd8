"""How far the waves of a rollout are, by numbers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hub.release.rules import Standing, Told, WaveTimes


@dataclass(frozen=True, slots=True)
class Progress:
    """One wave. See WaveProgress in the proto for the fields."""

    times: WaveTimes
    agents: int
    waiting: int
    under_way: int
    proven: int
    failed: int
    stuck: int
    rolled_back: int


def progress_of(standing: Standing, told: Sequence[Told], members: Sequence[int]) -> tuple[Progress, ...]:
    """Counts.

    Args:
        standing: where the rollout stands.
        told: all that were told.
        members: how many active agents each wave has, as last counted.
    """
    return tuple(_wave(times, [one for one in told if one.wave == wave], members[wave]) for wave, times in enumerate(standing.times))


def _wave(times: WaveTimes, told: Sequence[Told], agents: int) -> Progress:
    kinds = Counter[str]()
    for one in told:
        if one.counts or one.failed:
            kinds[one.kind] += one.count
    counting = sum(one.count for one in told if one.counts)
    return Progress(
        times,
        max(agents, counting),
        waiting=kinds["waiting"],
        under_way=kinds["under_way"],
        proven=kinds["proven"],
        failed=kinds["failed"],
        stuck=kinds["stuck"],
        rolled_back=kinds["rolled_back"],
    )
