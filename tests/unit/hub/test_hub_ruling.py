"""The hub decides again: it takes away from what the agent allows, and never adds to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.classification import DataClass
from contract.errors import InvalidRequest, NotPermitted, Reason
from contract.policy import Policy
from contract.surroundings import Provider
from hub.config import Settings
from hub.escalation.prompts import Escalation, Turn
from hub.escalation.ruling import Ruling, load_policy
from tests.fakes.surroundings import ABROAD, CLOUD, HOUSE, HUB

SHIPPED = resources.files("contract").joinpath("default.cedar").read_text("utf-8")
ALL = frozenset(HUB.providers)


@dataclass(frozen=True)
class Record:
    """An agent, as its operator has labelled it."""

    labels: Mapping[str, str]


@dataclass
class FakeAgents:
    """One agent under every name."""

    labels: dict[str, str] = field(default_factory=dict)

    async def get(self, agent_id: str) -> Record:
        return Record(self.labels)


def escalation(data_class: DataClass = DataClass.PUBLIC, redacted: bool = False, allowed: frozenset[Provider] = ALL) -> Escalation:
    return Escalation("id", "plant-7", (Turn("user", "SECRET"),), allowed, data_class, 10, 0.0, redacted)


def ruling(text: str = SHIPPED, **labels: str) -> Ruling:
    return Ruling(Policy(text), HUB, FakeAgents(labels))


async def test_what_both_policies_allow_goes_on_and_nothing_else_of_it_is_changed() -> None:
    asked = escalation(allowed=frozenset({HOUSE, CLOUD}))
    assert await ruling().rule(asked) == asked


async def test_what_the_hub_allows_and_the_agent_does_not_is_not_added() -> None:
    assert (await ruling().rule(escalation(allowed=frozenset({CLOUD})))).allowed == {CLOUD}


async def test_what_the_agent_allows_and_the_hub_does_not_is_taken_away() -> None:
    no_cloud = '@id("no-cloud") forbid (principal, action == Action::"escalate", resource == Provider::"cloud");'
    assert (await ruling(SHIPPED + no_cloud).rule(escalation())).allowed == {HOUSE, ABROAD}


async def test_where_nothing_is_left_it_is_denied_with_the_policies_and_without_the_prompt() -> None:
    no_public = '@id("no-public") forbid (principal, action == Action::"escalate", resource) when { resource.tier == Tier::"public" };'
    with pytest.raises(NotPermitted) as raised:
        await ruling(SHIPPED + no_public).rule(escalation(allowed=frozenset({CLOUD})))
    assert raised.value.reason is Reason.POLICY_DENIED
    assert "no-public" in raised.value.message
    assert "SECRET" not in raised.value.message


async def test_the_region_that_counts_is_the_one_that_the_operator_says() -> None:
    asked = escalation(DataClass.CONFIDENTIAL, redacted=True)
    assert (await ruling(region="de-fra").rule(asked)).allowed == {HOUSE}
    for labels in ({}, {"region": "us-east"}):
        with pytest.raises(NotPermitted):
            await ruling(**labels).rule(asked)


@pytest.mark.parametrize("data_class", [DataClass.INTERNAL, DataClass.CONFIDENTIAL])
async def test_what_the_agent_has_not_redacted_is_denied_where_the_hub_wants_it_redacted(data_class: DataClass) -> None:
    with pytest.raises(NotPermitted):
        await ruling(region="de-fra").rule(escalation(data_class))


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ('context.intake == "mqtt"', {"intake": "mqtt"}),
        ("context has latency_milliseconds && context.latency_milliseconds > 1000", {"latency_milliseconds": 2048}),
        ("context has budget_tokens && context.budget_tokens > 1000", {"budget_tokens": 2048}),
    ],
)
async def test_what_the_agents_policy_was_told_the_hubs_is_told_too(condition: str, told: dict[str, Any]) -> None:
    text = f'@id("t") permit (principal, action, resource) when {{ {condition} }};'
    assert (await ruling(text).rule(replace(escalation(), **told))).allowed == ALL
    with pytest.raises(NotPermitted):
        await ruling(text).rule(escalation())


async def test_what_the_hub_does_not_have_is_left_to_the_router_to_refuse() -> None:
    moved = replace(HOUSE, region="elsewhere")
    assert (await ruling().rule(escalation(allowed=frozenset({moved})))).allowed == frozenset()


rules = st.lists(st.tuples(st.sampled_from(["permit", "forbid"]), st.sampled_from(["house", "abroad", "cloud"])), max_size=5)


@given(rules, st.sets(st.sampled_from(HUB.providers)), st.sampled_from(DataClass), st.booleans())
async def test_whatever_the_hubs_policy_only_what_the_agent_allowed_is_left(
    drawn: list[tuple[str, str]], allowed: set[Provider], data_class: DataClass, redacted: bool
) -> None:
    text = '@id("pass") permit (principal, action == Action::"pass", resource);' + "".join(
        f'@id("r{number}") {effect} (principal, action == Action::"escalate", resource == Provider::"{name}");'
        for number, (effect, name) in enumerate(drawn)
    )
    permitted = {name for effect, name in drawn if effect == "permit"} - {name for effect, name in drawn if effect == "forbid"}
    wanted = {provider for provider in allowed if provider.name in permitted}
    asked = escalation(data_class, redacted, frozenset(allowed))
    if allowed and not wanted:
        with pytest.raises(NotPermitted):
            await ruling(text).rule(asked)
    else:
        assert (await ruling(text).rule(asked)).allowed == wanted


def test_the_hubs_own_file_is_its_policy(tmp_path: Path) -> None:
    file = tmp_path / "hub.cedar"
    file.write_text("")
    assert load_policy(Settings(policy_file=file)).digest == Policy("").digest
    assert load_policy(Settings()).digest == Policy(SHIPPED).digest


@pytest.mark.parametrize("content", [None, b"\xff", b"permit"])
def test_a_policy_file_that_is_none_keeps_the_hub_from_starting(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "hub.cedar"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidRequest) as raised:
        load_policy(Settings(policy_file=file))
    assert raised.value.reason is Reason.POLICY_INVALID
