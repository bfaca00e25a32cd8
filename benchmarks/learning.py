"""What a secure sum costs a device and the hub, in processor time, beside Flower's SecAgg+ and beside a sum that hides nothing.

Vectors of 1,024 entries; every device clips, adds its noise, and checks every signature; devices and hub are in one process, and messages
are bytes on both sides. Flower's side is its own code in flwr 1.41.0 with the same number of entries, its objects passed without a wire,
which is in its favour.

Each cohort prints a line; the last line is JSON. Lines with `cohorts` are of light devices in the hub's child: four cohorts at once and one
after the other, whose devices take a second for each answer, and as many as a child has, whose devices take none. `processor_seconds`,
`mib` and `data_mib` are the child's; the last is what its limit counts.

- client_milliseconds_64: of a device, the whole round, noise included; the median of its cohort;
- hub_seconds_64: of the hub, a cohort of 64, nobody lost; the median of three rounds;
- hub_seconds_1000: of the hub, for 1,000 devices in 16 cohorts;
- hub_ratio_to_secaggplus_50: the hub's seconds for 50 devices, by those of SecAgg+ on the full graph with the same threshold;
- real_round_seconds: of 8 devices, wall-clock, from the word to them until the sum: a hub, sessions over TLS, and nine child processes that
  speak Flower, all on this machine; the median of three rounds;
- cohorts_at_once_ratio: seconds of four cohorts at once, by those of the same one after the other;
- child_mib_512: of the hub's child with 8 cohorts of 64;
- exact: whether every sum was that of the survivors' vectors, to the bit;
- agent_memory_…: of real agents outside of a round, bytes that a process has for itself, medians (`learning_memory.py`): off_bytes, with
  learning off and no Flower to import; on_bytes, with learning on, before a round; growth_bytes, by how much these have grown after two
  rounds of 8; second_round_bytes, of that the second round; off_growth_bytes, by how much the first have grown meanwhile. Null: root alone
  may look at an agent's memory.
"""

import argparse
import json
import os
from collections.abc import Sequence
from statistics import median

from benchmarks.learning_cohort import ENTRIES, Costs, SimulatedRound, plain_seconds
from benchmarks.learning_cohorts import CohortCosts, run_cohorts
from benchmarks.learning_flower import run_secagg_plus
from benchmarks.learning_memory import measure_memory, no_figures
from benchmarks.learning_real import RealRounds, run_real_rounds
from contract.secagg.rules import MOST_AGENTS, least_threshold
from hub.learning.carrier import MOST_COHORTS

SIZES = (8, 16, 32, 64)
PEER_SIZE = 50
REAL_SIZE = 8
COHORTS = ((1, 16, 1.0, True), (4, 16, 1.0, True), (4, 16, 1.0, False), (MOST_COHORTS, MOST_AGENTS, 0.0, True))
"""How many cohorts, of how many devices, that take how long for an answer, and whether at once."""
ROUNDS = 3


def cohort_sizes(devices: int) -> list[int]:
    """Returns cohorts of at most 64, as equal as can be."""
    count = -(-devices // MOST_AGENTS)
    return [devices // count + (number < devices % count) for number in range(count)]


def measure(size: int, lost: int = 0) -> list[Costs]:
    """Plays some rounds, and prints what they cost."""
    found = [SimulatedRound(size, lost).run() for _ in range(ROUNDS)]
    line = {
        "devices": size,
        "lost": lost,
        "client_milliseconds": round(client_milliseconds(found), 1),
        "noise_milliseconds": round(1e3 * median(second for costs in found for second in costs.noise_seconds.values()), 1),
        "hub_seconds": round(hub_seconds(found), 4),
        "plain_hub_seconds": round(plain_seconds(size), 5),
        "client_bytes": round(median(size_bytes for costs in found for size_bytes in costs.device_bytes.values())),
        "exact": all(costs.is_exact for costs in found),
    }
    print(json.dumps(line), flush=True)
    return found


def measure_real() -> RealRounds:
    """Plays rounds over real connections, and prints what they cost."""
    real = run_real_rounds(REAL_SIZE, ENTRIES, ROUNDS)
    line = {
        "real_devices": REAL_SIZE,
        "round_seconds": [round(seconds, 2) for seconds in real.seconds],
        "stages_seconds": [round(seconds, 2) for seconds in real.stages_seconds],
        "processor_seconds": [round(seconds, 2) for seconds in real.processor_seconds],
        "exact": real.is_exact,
    }
    print(json.dumps(line), flush=True)
    return real


def measure_cohorts(cohorts: int, devices: int, answer_seconds: float, at_once: bool) -> CohortCosts:
    """Plays cohorts in one child of the hub, and prints what they cost."""
    found = run_cohorts(cohorts, devices, ENTRIES, answer_seconds, at_once)
    line = {
        "cohorts": cohorts,
        "devices_each": devices,
        "answer_seconds": answer_seconds,
        "at_once": at_once,
        "seconds": round(found.seconds, 1),
        "processor_seconds": round(found.processor_seconds, 1),
        "mib": found.mib,
        "data_mib": found.data_mib,
        "exact": found.is_exact,
    }
    print(json.dumps(line), flush=True)
    return found


def hub_seconds(found: Sequence[Costs]) -> float:
    """Returns the median of rounds."""
    return median(costs.hub_seconds for costs in found)


def client_milliseconds(found: Sequence[Costs]) -> float:
    """Returns the median of rounds' medians."""
    return median(costs.device_milliseconds for costs in found)


def memory_figures() -> dict[str, int | None]:
    """Prints what agents' memory was before a round and after each, and returns the figures of the last line."""
    if os.geteuid() != 0:
        return no_figures()
    readings = measure_memory()
    print(json.dumps(readings.table()), flush=True)
    return readings.figures()


def run(devices: int) -> dict[str, float | bool | None]:
    """Returns the figures of the last line."""
    by_size = {size: measure(size) for size in (*SIZES, PEER_SIZE)}
    with_lost = measure(MOST_AGENTS, lost=MOST_AGENTS - least_threshold(MOST_AGENTS))
    fleet = [SimulatedRound(size).run() for size in cohort_sizes(devices)]
    peer = run_secagg_plus(PEER_SIZE, ENTRIES, least_threshold(PEER_SIZE))
    print(
        json.dumps(
            {
                "secaggplus_devices": PEER_SIZE,
                "client_milliseconds": round(peer.device_milliseconds, 1),
                "hub_seconds": round(peer.hub_seconds, 3),
                "largest_error": peer.largest_error,
            }
        ),
        flush=True,
    )
    real = measure_real()
    played = [measure_cohorts(*wanted) for wanted in COHORTS]
    _, at_once, in_turn, most = played
    memory = memory_figures()
    rounds = [costs for found in (*by_size.values(), with_lost, fleet) for costs in found]
    return {
        "client_milliseconds_64": round(client_milliseconds(by_size[MOST_AGENTS]), 1),
        "hub_seconds_64": round(hub_seconds(by_size[MOST_AGENTS]), 4),
        "hub_seconds_1000": round(sum(costs.hub_seconds for costs in fleet), 3),
        "hub_ratio_to_secaggplus_50": round(hub_seconds(by_size[PEER_SIZE]) / peer.hub_seconds, 4),
        "real_round_seconds": round(median(real.seconds), 1),
        "cohorts_at_once_ratio": round(at_once.seconds / in_turn.seconds, 2),
        "child_mib_512": most.mib,
        "exact": all([real.is_exact, *(costs.is_exact for costs in played), *(costs.is_exact for costs in rounds)]),
        **memory,
    }


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1000, help="how many the fleet has; the key keeps its name")
    print(json.dumps(run(parser.parse_args().devices)))


if __name__ == "__main__":
    main()
