"""How well a fleet calibrates its confidence without showing anybody an answer, and what hostile or careless devices, and noise, do to it.

    python -m benchmarks.calibration

Fleets of 20 sites whose traffic differs; a site judges 40 answers or so in a window. One kind of fleet is made up, and its truth known
(`calibration_fleet.py`); sites of the other ask the bundled model, and its answers and confidences are real (`calibration_sites.py`).
Four windows with a map after each, then eight under one map, by real secure sums, beside the map of the greatest likelihood with all
answers of the last eight in one place. Errors are on held-out answers of all sites together. The last line is JSON; all but the
last are given of made-up fleets, and with `real_` before them of real answers:

- ece_same, ece_central, ece_federated: the expected calibration error as it stands, and after each; the means of all fleets;
- ece_steps: what is left of it under any map that keeps the order: the best steps, all answers in one place (`calibration_steps.py`);
- ece_ratio, brier_ratio: of these means, federated by central;
- map_gap: by how much the probabilities of the federated and the central map differ, on average over held-out answers and fleets;
- garbage_ece, garbage_brier: the most by which one site's garbage moved the error, of all fleets and kinds;
- modified_discarded: whether each cohort with a device that said forty times its norm was left out, and no other;
- noise: by devices and windows, by how much the noise that rounds bear moves a probability, on average; null: it hides how many answers
  there are, and nothing is fitted (`calibration_noise.py`).
"""

import argparse
import json
from collections.abc import Callable, Sequence
from itertools import product
from random import Random
from statistics import fmean

from benchmarks.calibration_fleet import GARBAGE, Judged, Traffic, brier, central_map, ece, made_up_fleet
from benchmarks.calibration_noise import noise_table
from benchmarks.calibration_rounds import learn, plain_sum, secure_sum, window
from benchmarks.calibration_sites import asking_fleet, halves, read_answers
from benchmarks.calibration_steps import best_steps
from contract.calibration.cohorts import merge
from contract.calibration.maps import CONFIDENCE, SAME
from contract.calibration.sums import SURPRISE_NORM

ERRORS = ("ece_same", "ece_central", "ece_federated", "ece_steps")
FLEETS, SITES, WINDOWS, HELD_OUT_WINDOWS = 8, 20, (4, 8), 40

Fleet = tuple[Sequence[Traffic], list[Judged]]
"""Sites, and answers of theirs that nothing is fitted to."""
Fleets = Callable[[int], Fleet]
"""Returns the fleet of a seed."""


def made_up(seed: int) -> Fleet:
    """Returns a fleet whose truth is known."""
    random = Random(seed)
    sites = made_up_fleet(SITES, random)
    return sites, [answer for site in sites for _ in range(HELD_OUT_WINDOWS) for answer in site.window(random)]


def real(seed: int) -> Fleet:
    """Returns a fleet whose answers are the model's."""
    random = Random(seed)
    seen, held_out = halves(read_answers(), random)
    sites = asking_fleet(SITES, seen, random)
    return sites, [answer for site in sites for _ in range(HELD_OUT_WINDOWS) for answer in site.asking(held_out).window(random)]


def compare(fleets: Fleets, seed: int) -> dict[str, float]:
    """Fits one fleet both ways, and again with each kind of garbage."""
    sites, held_out = fleets(seed)
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
        "ece_steps": ece(best_steps(judged), held_out),
        "brier_same": brier(SAME, held_out),
        "brier_central": brier(central, held_out),
        "brier_federated": brier(ours, held_out),
        "map_gap": fmean(abs(ours.probability(figure) - central.probability(figure)) for figure, _ in held_out),
        "garbage_ece": moved["ece"],
        "garbage_brier": moved["brier"],
    }
    print(json.dumps({"fleet": f"{fleets.__name__} {seed}", **{name: round(value, 4) for name, value in found.items()}}), flush=True)
    return found


def is_modified_discarded(fleets: Fleets) -> bool:
    """Breaks the norm in one cohort of nine, each time in another entry."""
    in_force, random = learn(fleets(0)[0], Random(0), WINDOWS)[0], Random(1)
    cohorts = [secure_sum(window(fleets(seed)[0], random, in_force)[0], in_force) for seed in range(FLEETS)]
    vectors, _ = window(fleets(0)[0], random, in_force)
    for entry, sign in product(range(len(vectors[0])), (1, -1)):
        changed = [*vectors[0][:entry], sign * 40 * SURPRISE_NORM, *vectors[0][entry + 1 :]]
        broken = secure_sum([changed, *vectors[1:]], in_force)
        if set(merge(CONFIDENCE, [*cohorts, broken]).discarded) != {len(cohorts)}:
            return False
    return True


def mean_of(found: Sequence[dict[str, float]], name: str) -> float:
    """Returns the mean over all fleets."""
    return fmean(one[name] for one in found)


def figures_of(fleets: Fleets, prefix: str = "") -> dict[str, float | bool]:
    """Prints each fleet, and returns the figures of all."""
    found = [compare(fleets, seed) for seed in range(FLEETS)]
    figures: dict[str, float | bool] = {name: round(mean_of(found, name), 4) for name in ERRORS}
    for error in ("ece", "brier"):
        figures[f"{error}_ratio"] = round(mean_of(found, f"{error}_federated") / mean_of(found, f"{error}_central"), 3)
    figures["map_gap"] = round(mean_of(found, "map_gap"), 4)
    for name in ("garbage_ece", "garbage_brier"):
        figures[name] = round(max(one[name] for one in found), 4)
    return {f"{prefix}{name}": value for name, value in (figures | {"modified_discarded": is_modified_discarded(fleets)}).items()}


def main() -> None:
    """Prints each fleet, the table of noise, and the JSON."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(json.dumps({**figures_of(made_up), **figures_of(real, "real_"), "noise": noise_table()}))


if __name__ == "__main__":
    main()
