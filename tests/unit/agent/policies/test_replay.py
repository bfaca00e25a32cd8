"""What another policy would have changed, by receipts."""

from importlib import resources
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.policies.replay import Change, Replayed, Tally, replay
from contract.policy import Policy
from tests.fakes.surroundings import HERE

SHIPPED = Policy(resources.files("contract").joinpath("default.cedar").read_text("utf-8"))
OPEN = Policy(
    '@id("out") permit (principal, action in [Action::"pass", Action::"escalate"], resource) when { context.class != "restricted" };'
)
CLOSED = Policy("")


def receipt(data_class: str = "public", route: str = "local", *reasons: str, **fields: Any) -> dict[str, Any]:
    kinds = fields.pop("data_kinds", [])
    return {"data_class": data_class, "data_kinds": kinds, "route": route, "reasons": ["nothing-found", *reasons], **fields}


def tokens(count: int) -> dict[str, int]:
    return {"input_tokens": count, "output_tokens": count}


RECEIPTS = [
    receipt("public", "escalated", "not-confident", **tokens(50)),
    receipt("public", "local", "confident", **tokens(10)),
    receipt("internal", "local", "not-confident", **tokens(7)),
    receipt("internal", "local", "not-confident", **tokens(7)),
    receipt("restricted", "local", "not-confident", data_kinds=["CREDIT_CARD"], **tokens(5)),
]


def against(other: Policy, receipts: list[dict[str, Any]] | None = None) -> Replayed:
    return replay(RECEIPTS if receipts is None else receipts, "a1", HERE, SHIPPED, other)


def test_a_policy_held_against_itself_changes_nothing() -> None:
    result = against(SHIPPED)
    assert result.in_force == result.other == Tally(escalations=1, tokens=100, denials=3, kept=4)
    assert (result.prompts, result.recorded, result.changes) == (5, Tally(1, 100), ())


def test_a_prompt_whose_better_answer_followed_is_one_prompt_and_all_that_left_is_told() -> None:
    provisional = receipt("public", "local", "not-confident", **tokens(50))
    followed = [receipt("public", "escalated", "followed-up", **tokens(count)) for count in (0, 50)]
    result = against(SHIPPED, [provisional, *followed])
    assert (result.prompts, result.in_force.escalations, result.recorded) == (1, 1, Tally(2, 100))


def test_a_wider_policy_costs_more_and_denies_less() -> None:
    result = against(OPEN)
    assert result.other == Tally(escalations=3, tokens=128, denials=1, kept=0)
    to_all = "house, abroad, cloud"
    assert result.changes == (
        Change("public", (), f"{to_all}; kept", f"{to_all}; not kept", 2, 0, 0),
        Change("internal", (), "stays; kept", f"{to_all}; not kept", 2, 2, 28),
    )


def test_a_narrower_policy_costs_less_and_denies_more() -> None:
    result = against(CLOSED)
    assert result.other == Tally(escalations=0, tokens=0, denials=4, kept=0)
    assert {(change.data_class, change.escalations, change.tokens) for change in result.changes} == {
        ("public", -1, -100),
        ("internal", 0, 0),
    }


def test_receipts_of_earlier_versions_and_of_later_classes_are_read() -> None:
    result = against(OPEN, [receipt("public", "escalated"), receipt("cosmic", "local", "not-confident", data_kinds=["NEW"])])
    assert (result.recorded, result.other) == (Tally(1, 0), Tally(1, 0, 1, 0))


def test_the_way_by_which_a_prompt_came_counts() -> None:
    by_mqtt = Policy('@id("m") permit (principal, action, resource) when { context.intake == "mqtt" };')
    asked = [receipt("public", "local", "not-confident", intake=intake) for intake in ("mqtt", "http")]
    assert against(by_mqtt, asked).other == Tally(1, 0, 1, 1)


receipts = st.lists(
    st.builds(
        lambda data_class, route, reason, count: receipt(data_class, route, reason, **tokens(count)),
        st.sampled_from(["public", "internal", "confidential", "restricted"]),
        st.sampled_from(["local", "cache", "escalated"]),
        st.sampled_from(["confident", "not-confident", "model-away"]),
        st.integers(0, 1000),
    ),
    max_size=12,
)


@given(receipts, st.sampled_from([OPEN, CLOSED, SHIPPED]))
def test_the_changes_add_up_to_the_difference(drawn: list[dict[str, Any]], other: Policy) -> None:
    result = against(other, drawn)
    assert sum(change.escalations for change in result.changes) == result.other.escalations - result.in_force.escalations
    assert sum(change.tokens for change in result.changes) == result.other.tokens - result.in_force.tokens
    assert sum(change.prompts for change in result.changes) <= result.prompts
    for tally in (result.in_force, result.other):
        wanted = sum(item["route"] == "escalated" or not {"not-confident", "model-away"}.isdisjoint(item["reasons"]) for item in drawn)
        assert tally.escalations + tally.denials == wanted
