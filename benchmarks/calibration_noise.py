"""What a round's noise costs a calibration: by how much it moves a probability, from a map that is right, on average over answers.

The noise is that of `contract/learning.py`, in each cohort's sum and by all devices' parts. Several windows under one map count together.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from random import Random
from statistics import fmean

from benchmarks.calibration_fleet import central_map, made_up_fleet
from benchmarks.calibration_rounds import Vectors, cohorts_of, noisy_sum, plain_sum, shipped_noise, window
from contract.calibration.cohorts import CohortSum, merge
from contract.calibration.fitting import fit
from contract.calibration.maps import CONFIDENCE, Map, rounded
from contract.errors import InvalidRequest
from contract.learning import NOISE_MULTIPLIER
from contract.privacy_noise import Bits

WINDOWS = (1, 4, 16)
FLEETS = {20: (20, 16), 64: (20, 16), 1000: (6, 16), 10_000: (2, 4)}
"""By the size of a fleet: how often noise is drawn, and how many windows there are at most."""
LESS = "1, a quarter of the noise"
"""What less noise would buy, in one window: sixteen times the price."""
COUNTED = "counted"
"""The share of cohorts' sums that are not left out of a fit, all windows together."""
_ANSWERS = 20_000
"""By which the map that is right is found, and the difference is weighed."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet in a window.

    Args:
        cohorts: what devices report.
        in_force: the map that is right.
        figures: of answers.
    """

    cohorts: Sequence[Vectors]
    in_force: Map
    figures: Sequence[float]

    def moved(self, cohorts: Sequence[Vectors], sums: Sequence[CohortSum]) -> float | None:
        """Returns by how much noise has moved a probability; None: nothing could be fitted."""
        with suppress(InvalidRequest):
            noisy = fit(CONFIDENCE, self.in_force, sums).map
            without = fit(CONFIDENCE, self.in_force, [plain_sum(vectors, self.in_force) for vectors in cohorts]).map
            return fmean(abs(noisy.probability(figure) - without.probability(figure)) for figure in self.figures)
        return None


def fleet_of(size: int) -> Fleet:
    """Returns a made-up fleet whose map is right."""
    random = Random(size)
    sites = made_up_fleet(size, random)
    answers = [answer for _ in range(-(-_ANSWERS // (40 * size))) for site in sites for answer in site.window(random)]
    in_force = rounded(*astuple(central_map(answers)))
    vectors, _ = window(sites, random, in_force)
    return Fleet(cohorts_of(vectors), in_force, [figure for figure, _ in answers[:: max(1, len(answers) // 1000)]])


def noise_cost(size: int, draws: int, most: int) -> dict[str, float | None]:
    """Returns by how much noise moves a probability, by how many windows there are, and how many of the cohorts' sums count.

    None: mostly, nothing can be fitted.

    Args:
        size: of the fleet.
        draws: how often noise is drawn; the mean of what could be fitted counts.
        most: windows.
    """
    fleet = fleet_of(size)
    counts = [count for count in WINDOWS if count <= most]
    found = {name: list[float | None]() for name in (*map(str, counts), LESS, COUNTED)}
    for draw in range(draws):
        bits = Random(draw).getrandbits
        sums = [noisy_sum(vectors, shipped_noise(len(vectors)), bits) for _ in range(most) for vectors in fleet.cohorts]
        for count in counts:
            found[str(count)].append(fleet.moved([*fleet.cohorts] * count, sums[: count * len(fleet.cohorts)]))
        found[COUNTED].append(1 - len(merge(CONFIDENCE, sums).discarded) / len(sums))
        found[LESS].append(fleet.moved(fleet.cohorts, [_less_noisy(vectors, bits) for vectors in fleet.cohorts]))
    return {name: _mean(costs) for name, costs in found.items()}


def _less_noisy(vectors: Vectors, bits: Bits) -> CohortSum:
    noise = shipped_noise(len(vectors))
    return noisy_sum(vectors, replace(noise, variance=noise.variance / NOISE_MULTIPLIER**2), bits)


def _mean(costs: Sequence[float | None]) -> float | None:
    fitted = [cost for cost in costs if cost is not None]
    return round(fmean(fitted), 4) if 2 * len(fitted) > len(costs) else None


def noise_table() -> dict[str, dict[str, float | None]]:
    """Prints what noise costs, and returns it by devices and windows."""
    table = dict[str, dict[str, float | None]]()
    for size, (draws, most) in FLEETS.items():
        table[str(size)] = noise_cost(size, draws, most)
        cells = ("none" if cost is None else f"{cost:.4f}" for cost in table[str(size)].values())
        names = ", ".join(f"{name}: {cell}" for name, cell in zip(table[str(size)], cells, strict=True))
        print(f"{size:>8} devices, by windows: {names}", flush=True)
    return table
