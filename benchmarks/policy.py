"""How long a decision takes, all actions of it: one that is made for the first time, and one that was made before."""

import json
from importlib import resources
from statistics import median
from time import perf_counter_ns

from contract.classification import Classification, DataClass
from contract.policy import Policy
from contract.surroundings import Hub, Provider, Surroundings

ROUNDS = 2000
HOUSE = Provider("house", "private", "de-fra", "acme", 0)
AROUND = Surroundings("frankfurt", "de-fra", "mqtt", Hub("seawall.internal", "de-fra", "acme", (HOUSE,)), can_redact=True)


def decision_microseconds(policy: Policy, classification: Classification, around: Surroundings = AROUND) -> dict[str, float]:
    """Returns the median times.

    Args:
        policy: that decides.
        classification: of the prompt.
        around: what surrounds it; each first decision has another budget.
    """
    first: list[float] = []
    again: list[float] = []
    for number in range(ROUNDS):
        fresh = Surroundings(around.site, around.region, around.intake, around.hub, around.can_redact, budget_tokens=number)
        for times in (first, again):
            begin = perf_counter_ns()
            policy.decide("plant-7", classification, fresh)
            times.append((perf_counter_ns() - begin) / 1000)
    return {"first": round(median(first), 1), "again": round(median(again), 1)}


def main() -> None:
    """Prints JSON: microseconds, by class, under the shipped policy with one provider."""
    policy = Policy(resources.files("contract").joinpath("default.cedar").read_text("utf-8"))
    print(json.dumps({"decision_microseconds": {str(item): decision_microseconds(policy, Classification(item)) for item in DataClass}}))


if __name__ == "__main__":
    main()
