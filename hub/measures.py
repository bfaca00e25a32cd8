"""What is counted while calls pass: plain numbers, so that a call costs no lock. The metrics' thread reads copies."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field


class Distribution:
    """How often something took how long. Written by the event loop alone.

    Args:
        bounds: of the buckets, rising; one without end is behind the last.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Counts one."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Returns Prometheus's buckets: each bound, and how many were at most that."""
        counts, sum_so_far, result = list(self.counts), 0, []
        for bound, count in zip([*map(str, self.bounds), "+Inf"], counts, strict=True):
            sum_so_far += count
            result.append((bound, float(sum_so_far)))
        return result


CALL_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
FLEET_BUCKETS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Calls:
    """gRPC calls by method."""

    def __init__(self) -> None:
        self.ended: dict[tuple[str, str], int] = {}
        self.in_flight: dict[str, int] = {}
        self.seconds: dict[str, Distribution] = {}

    def begin(self, method: str) -> None:
        """Counts a call that begins."""
        self.in_flight[method] = self.in_flight.get(method, 0) + 1

    def end(self, method: str, code: str, seconds: float) -> None:
        """Counts one that has ended."""
        self.in_flight[method] -= 1
        self.ended[method, code] = self.ended.get((method, code), 0) + 1
        distribution = self.seconds.get(method)
        if distribution is None:
            distribution = self.seconds[method] = Distribution(CALL_BUCKETS_SECONDS)
        distribution.observe(seconds)


@dataclass(slots=True)
class SessionCounts:
    """What agents' sessions do.

    Args:
        opened: so many were.
        heartbeats: so many were answered.
        ended: by reason.
        delivered: by kind, `desired_state`, `desired_release` or `command`.
        delivery_seconds: from when something was due for a connected agent until it was sent.
        end_seconds: from when the hub ended a session until it was closed.
    """

    opened: int = 0
    heartbeats: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    delivered: dict[str, int] = field(default_factory=lambda: {"desired_state": 0, "desired_release": 0, "command": 0})
    delivery_seconds: Distribution = field(default_factory=lambda: Distribution(FLEET_BUCKETS_SECONDS))
    end_seconds: Distribution = field(default_factory=lambda: Distribution(FLEET_BUCKETS_SECONDS))

    def end(self, reason: str) -> None:
        """Counts a session that has ended."""
        self.ended[reason] = self.ended.get(reason, 0) + 1
