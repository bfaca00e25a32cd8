"""How long a decision takes, all actions of it: one that is made for the first time, and one that was made before."""

import json
from dataclasses import replace
from importlib import resources
from statistics import median
from time import perf_counter_ns

from contract.classification import Classification, DataClass
from contract.policy import Policy
from contract.surroundings import Hub, Provider, Surroundings

ROUNDS = 2000
HOUSE = Provider("house", "private", "de-fra", "acme", 0)
ABROAD = Provider("abroad", "private", "us-east", "acme", 0)
CLOUD = Provider("cloud", "public", "de-fra", "them", 30)
HUB = Hub("seawall.internal", "de-fra", "acme", (HOUSE,))
AROUND = Surroundings("frankfurt", "de-fra", "mqtt", HUB, can_redact=True)
AMONG_THREE = replace(AROUND, hub=replace(HUB, providers=(HOUSE, ABROAD, CLOUD)))


def decision_microseconds(policy: Policy, classification: Classification, around: Surroundings = AROUND) -> dict[str, float]:
    """Returns the median times.

    Args:
        policy: that decides.
        classification: of the prompt.
        around: what surrounds it; each first decision is of another agent, the others are of the same.
    """
    first: list[float] = []
    again: list[float] = []
    for number in range(ROUNDS):
        agent_id, fresh = f"plant-{number}", replace(around)
        for times in (first, again):
            begin = perf_counter_ns()
            policy.decide(agent_id, classification, fresh)
            times.append((perf_counter_ns() - begin) / 1000)
    return {"first": round(median(first), 1), "again": round(median(again), 1)}


def main() -> None:
    """Prints JSON: microseconds, by class, under the shipped policy with one provider and with three."""
    policy = Policy(resources.files("contract").joinpath("default.cedar").read_text("utf-8"))

    def by_class(around: Surroundings) -> dict[str, dict[str, float]]:
        return {str(item): decision_microseconds(policy, Classification(item), around) for item in DataClass}

    print(json.dumps({"decision_microseconds": by_class(AROUND), "with_three_providers": by_class(AMONG_THREE)}))


if __name__ == "__main__":
    main()
