"""docs/policy.md: its policies are policies, they decide what the page says, and the page knows every action and fact."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.policies.facts import Given, read_classification, read_hub
from contract.policy import Policy
from contract.policy_text import SCHEMA
from contract.surroundings import Hub, Surroundings
from tests.fakes.classifier import classifier

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "policy.md").read_text()


@dataclass(frozen=True)
class Example:
    """A policy of the page, and a row of the table below it."""

    text: str
    data_class: str
    kinds: str
    region: str
    leaves_for: str


def examples() -> list[Example]:
    found = []
    for part in PAGE.split("```cedar\n")[1:]:
        text, _, rest = part.partition("```")
        table = rest.split("###")[0].split("\n## ")[0]
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")][2:]
        found += [Example(text, *row) for row in rows]
    return found


EXAMPLES = examples()


def hub() -> Hub | None:
    line = next(line for line in PAGE.splitlines() if line.startswith("    --hub"))
    return read_hub("hub", re.findall(r"--hub (\S+)", line)[0], re.findall(r"--provider (\S+)", line), None)


def test_the_page_has_three_worked_examples() -> None:
    assert len({example.text for example in EXAMPLES}) == 3
    assert len(EXAMPLES) == 10


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{item.data_class}-{item.kinds}-{item.leaves_for}" for item in EXAMPLES])
def test_an_example_decides_what_the_page_says(example: Example) -> None:
    found = read_classification(Given("", example.data_class, example.kinds), classifier())
    around = Surroundings(region=example.region, hub=hub(), can_redact=True)
    routes = Policy(example.text).decide("plant-7", found, around).routes
    words = ", ".join(route.provider.name + (" redacted" if route.redacted else "") for route in routes)
    assert (words or "nowhere") == example.leaves_for


@pytest.mark.parametrize("pattern", [r"action (\w+) appliesTo", r"^    \"?(\w+)\"?\??: "])
def test_the_page_names_every_action_and_every_fact(pattern: str) -> None:
    names = re.findall(pattern, SCHEMA, re.MULTILINE)
    assert len(names) in (5, 8)
    assert [name for name in names if f"`{name}`" not in PAGE] == []
