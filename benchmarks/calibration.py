"""How well a fleet calibrates its confidence without showing anybody an answer, and what hostile or careless devices, and noise, do to it.

    python -m benchmarks.calibration

Fleets of 20 sites whose traffic differs (`calibration_fleet.py`, where the truth is known); a site judges 40 answers or so in a window.
Four windows with a map after each, then eight under one map, by real secure sums, beside the map of the greatest likelihood with all
answers of the last eight in one place. Errors are on held-out answers of all sites together. The last line is JSON:

- ece_same, ece_central, ece_federated: the expected calibration error as it stands, and after each; the means of all fleets;
- ece_ratio, brier_ratio: of these means, federated by central;
- garbage_ece, garbage_brier: the most by which one site's garbage moved the error, of all fleets and kinds;
- modified_discarded: whether each cohort with a device that said forty times its norm was left out, and no other;
- noise: by devices and epsilon (of one window, at a delta of 1e-5), by how much the noise of one window moves a probability, on average;
  null: it hides how many answers there are, and nothing is fitted.
"""

import argparse
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple
from itertools import product
from random import Random
from statistics import fmean

from benchmarks.calibration_fleet import GARBAGE, Judged, Site, brier, central_map, ece, made_up_fleet
from benchmarks.calibration_rounds import cohorts_of, learn, noisy_sum, plain_sum, secure_sum, window
from contract.calibration.cohorts import merge
from contract.calibration.fitting import fit
from contract.calibration.maps import CONFIDENCE, SAME, rounded
from contract.calibration.sums import SURPRISE_NORM
from contract.errors import InvalidRequest

FLEETS, SITES, WINDOWS, HELD_OUT_WINDOWS = 8, 20, (4, 8), 40
EPSILONS = (1.0, 2.0, 4.0, 8.0)
NOISE_DRAWS = {20: 40, 64: 20, 1000: 4}
"""How often noise is drawn, by the size of the fleet."""


def fleet(seed: int, size: int = SITES) -> tuple[list[Site], list[Judged]]:
    """Returns sites, and answers of theirs that nothing is fitted to."""
    random = Random(seed)
    sites = made_up_fleet(size, random)
    return sites, [answer for site in sites for _ in range(max(1, HELD_OUT_WINDOWS * SITES // size)) for answer in site.window(random)]


def compare(seed: int) -> dict[str, float]:
    """Fits one fleet both ways, and again with each kind of garbage."""
    sites, held_out = fleet(seed)
    ours, judged = learn(sites, Random(seed), WINDOWS, secure_sum)
    central = central_map(judged)
    moved = {"ece": 0.0, "brier": 0.0}
    for garbage in GARBAGE.values():
        spoilt, _ = learn(sites, Random(seed), WINDOWS, plain_sum, garbage)
        moved["ece"] = max(moved["ece"], abs(ece(spoilt, held_out) - ece(ours, held_out)))
        moved["brier"] = max(moved["brier"], abs(brier(spoilt, held_out) - brier(ours, held_out)))
    found = {
        "ece_same": ece(SAME, held_out),
        "ece_central": ece(central, held_out),
        "ece_federated": ece(ours, held_out),
        "brier_same": brier(SAME, held_out),
        "brier_central": brier(central, held_out),
        "brier_federated": brier(ours, held_out),
        "garbage_ece": moved["ece"],
        "garbage_brier": moved["brier"],
    }
    print(json.dumps({"fleet": seed, **{name: round(value, 4) for name, value in found.items()}}), flush=True)
    return found


def is_modified_discarded() -> bool:
    """Breaks the norm in one cohort of six, each time in another entry."""
    in_force, random = learn(fleet(0)[0], Random(0), WINDOWS)[0], Random(1)
    cohorts = [secure_sum(window(fleet(seed)[0], random, in_force)[0], in_force) for seed in range(FLEETS)]
    vectors, _ = window(fleet(0)[0], random, in_force)
    for entry, sign in product(range(len(vectors[0])), (1, -1)):
        changed = [*vectors[0][:entry], sign * 40 * SURPRISE_NORM, *vectors[0][entry + 1 :]]
        broken = secure_sum([changed, *vectors[1:]], in_force)
        if set(merge(CONFIDENCE, [*cohorts, broken]).discarded) != {len(cohorts)}:
            return False
    return True


def noise_cost(size: int, most_epsilon: float) -> float | None:
    """Returns by how much one window's noise moves a probability, the mean over answers; None: mostly, nothing could be fitted."""
    sites, held_out = fleet(100, size)
    figures = [figure for figure, _ in held_out]
    in_force = rounded(*astuple(central_map(held_out)))
    costs = list[float]()
    for draw in range(NOISE_DRAWS[size]):
        vectors, _ = window(sites, Random(draw), in_force)
        without = fit(CONFIDENCE, in_force, [plain_sum(part, in_force) for part in cohorts_of(vectors)]).map
        with suppress(InvalidRequest):
            noisy = fit(CONFIDENCE, in_force, [noisy_sum(part, most_epsilon) for part in cohorts_of(vectors)]).map
            costs.append(fmean(abs(noisy.probability(figure) - without.probability(figure)) for figure in figures))
    return round(fmean(costs), 4) if 2 * len(costs) > NOISE_DRAWS[size] else None


def noise_table() -> dict[str, dict[str, float | None]]:
    """Prints what noise costs, and returns it by devices and epsilon."""
    print(f"{'devices':>8}" + "".join(f"{f'epsilon {most:g}':>12}" for most in EPSILONS))
    table = dict[str, dict[str, float | None]]()
    for size in NOISE_DRAWS:
        table[str(size)] = {f"{most:g}": noise_cost(size, most) for most in EPSILONS}
        cells = ("none" if cost is None else f"{cost:.4f}" for cost in table[str(size)].values())
        print(f"{size:>8}" + "".join(f"{cell:>12}" for cell in cells), flush=True)
    return table


def mean_of(found: Sequence[dict[str, float]], name: str) -> float:
    """Returns the mean over all fleets."""
    return fmean(one[name] for one in found)


def main() -> None:
    """Prints each fleet, the table of noise, and the JSON."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    found = [compare(seed) for seed in range(FLEETS)]
    figures = {name: round(mean_of(found, name), 4) for name in ("ece_same", "ece_central", "ece_federated")}
    ratios = {
        f"{error}_ratio": round(mean_of(found, f"{error}_federated") / mean_of(found, f"{error}_central"), 3) for error in ("ece", "brier")
    }
    worst = {name: round(max(one[name] for one in found), 4) for name in ("garbage_ece", "garbage_brier")}
    print(json.dumps({**figures, **ratios, **worst, "modified_discarded": is_modified_discarded(), "noise": noise_table()}))


if __name__ == "__main__":
    main()
