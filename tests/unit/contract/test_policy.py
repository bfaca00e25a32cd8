"""Policies: the shipped one, a site's own, and those that are refused."""

from dataclasses import replace
from importlib import resources

import pytest

from contract.classification import Classification, DataClass
from contract.decision import Decision, Sharing
from contract.errors import InvalidRequest, Reason
from contract.policy import Policy
from contract.policy_text import FACTS, check_policies
from contract.surroundings import Surroundings
from tests.fakes import surroundings
from tests.fakes.surroundings import CLOUD, HOUSE, HUB

SHIPPED = resources.files("contract").joinpath("default.cedar").read_text("utf-8")
PERMIT_ALL = '@id("all") permit (principal, action, resource);'
OVERFLOWS = "when { 9223372036854775807 + 1 > 0 }"
PUBLIC, RESTRICTED = Classification(DataClass.PUBLIC), Classification(DataClass.RESTRICTED, ("CREDIT_CARD",))

HERE = replace(surroundings.HERE, can_redact=True)
NO_REGION, NO_HOUSE_REGION = replace(HERE, region=""), replace(HERE, hub=replace(HUB, providers=(replace(HOUSE, region=""),)))


def decide(text: str, classification: Classification = PUBLIC, around: Surroundings = HERE) -> Decision:
    return Policy(text).decide("a1", classification, around)


def share(text: str, classification: Classification = PUBLIC, around: Surroundings = HERE) -> Sharing:
    return Policy(text).share("a1", classification, around)


def ways(decision: Decision) -> list[tuple[str, bool]]:
    return [(route.provider.name, route.redacted) for route in decision.routes]


@pytest.mark.parametrize(
    ("data_class", "routes", "may_cache", "may_learn"),
    [
        (DataClass.PUBLIC, [("house", False), ("abroad", False), ("cloud", False)], True, True),
        (DataClass.INTERNAL, [("house", True), ("abroad", True), ("cloud", True)], True, True),
        (DataClass.CONFIDENTIAL, [("house", True)], True, True),
        (DataClass.RESTRICTED, [], False, False),
    ],
)
def test_the_shipped_policy_allows_less_to_each_higher_class(
    data_class: DataClass, routes: list[tuple[str, bool]], may_cache: bool, may_learn: bool
) -> None:
    decision, sharing = decide(SHIPPED, Classification(data_class)), share(SHIPPED, Classification(data_class))
    assert ways(decision) == routes
    assert (decision.may_cache, sharing.record.allowed, sharing.learn.allowed) == (may_cache, False, may_learn)
    assert decision.must_redact == any(redacted for _, redacted in routes)


def test_a_decision_names_the_policies_that_made_it() -> None:
    assert decide(SHIPPED, RESTRICTED).policy_ids == ("restricted-stays",)
    assert decide(SHIPPED).policy_ids == ("answers-may-be-kept", "public-may-leave")


def test_what_may_be_done_with_a_receipt_names_the_policies_that_allow_it_and_says_why_the_rest_is_denied() -> None:
    sharing = share(SHIPPED)
    assert sharing.policy_ids == ("counts-may-be-learnt",)
    assert sharing.record.policy_ids == ("default-deny",)
    assert share(SHIPPED, RESTRICTED).policy_ids == ()
    failed = share(PERMIT_ALL + f'@id("broken") permit (principal, action == Action::"record", resource) {OVERFLOWS};')
    assert (failed.record.policy_ids, failed.policy_ids) == (("policy-failed",), ("all",))


def test_what_two_receipts_may_is_what_both_may() -> None:
    shipped, everything = share(SHIPPED), share(PERMIT_ALL)
    for both in (shipped.both(everything), everything.both(shipped)):
        assert (both.record.allowed, both.learn.allowed) == (False, True)


@pytest.mark.parametrize(
    ("condition", "facts"),
    [
        ("true", set()),
        ('context.class == "public" && resource == resource', {"class"}),
        (r'context["cla\u{73}s"] == "public"', {"class"}),
        ("context has budget_tokens && context.budget_tokens > 1", {"budget_tokens"}),
        ('[context.site, "a"].contains(if context.redacted then context.region else "b")', {"site", "redacted", "region"}),
        ("[context].contains(context)", set(FACTS)),
    ],
)
def test_the_facts_that_a_policy_asks_for_are_known(condition: str, facts: set[str]) -> None:
    assert check_policies(f'@id("t") permit (principal, action, resource) when {{ {condition} }};').facts == facts


@pytest.mark.parametrize("data_class", [DataClass.INTERNAL, DataClass.CONFIDENTIAL])
def test_what_must_be_redacted_stays_where_nobody_redacts(data_class: DataClass) -> None:
    assert not decide(SHIPPED, Classification(data_class), replace(HERE, can_redact=False)).may_escalate


def test_where_the_hub_is_not_known_nothing_leaves_and_the_decision_says_so() -> None:
    decision = decide(PERMIT_ALL, around=replace(HERE, hub=None))
    assert (decision.may_cache, decision.may_escalate, decision.is_hub_unknown) == (True, False, True)
    assert not decide(PERMIT_ALL).is_hub_unknown


def test_what_may_not_pass_the_hub_leaves_for_no_provider() -> None:
    text = (
        PERMIT_ALL + '@id("not-by-this-hub") forbid (principal, action == Action::"pass", resource) when { resource.region == "de-fra" };'
    )
    decision = decide(text)
    assert decision.routes == ()
    assert "not-by-this-hub" in decision.policy_ids
    assert decide(text, around=replace(HERE, hub=replace(HUB, region="us-east"))).may_escalate


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ('resource.operator == "acme"', ["house", "abroad"]),
        ("resource.retention_days < 7", ["house", "abroad"]),
        ('resource.tier == Tier::"public"', ["cloud"]),
        ('resource == Provider::"house"', ["house"]),
        ("resource.region == context.region", ["house", "cloud"]),
        ('context.site == "frankfurt" && context.intake == "mqtt"', ["house", "abroad", "cloud"]),
        ("context has latency_milliseconds && context.latency_milliseconds > 500", []),
        ("context has budget_tokens && context.budget_tokens > 1000", []),
        ('context.kinds.contains("PERSON")', []),
    ],
)
def test_a_site_may_choose_providers_by_what_is_known_of_them_and_of_the_prompt(condition: str, names: list[str]) -> None:
    text = (
        '@id("hub") permit (principal, action == Action::"pass", resource);'
        f'@id("chosen") permit (principal, action == Action::"escalate", resource) when {{ {condition} }};'
    )
    assert [name for name, _ in ways(decide(text))] == names


def test_a_budget_and_a_deadline_are_given_to_the_policy_where_they_are_known() -> None:
    text = PERMIT_ALL + '@id("spare") forbid (principal, action == Action::"escalate", resource) unless { context has budget_tokens };'
    assert not decide(text).may_escalate
    assert decide(text, around=replace(HERE, budget_tokens=1, latency_milliseconds=1)).may_escalate


@pytest.mark.parametrize("kind", ["permit", "forbid"])
@pytest.mark.parametrize("around", [NO_REGION, NO_HOUSE_REGION])
def test_a_policy_that_asks_for_a_region_that_is_not_known_denies(kind: str, around: Surroundings) -> None:
    comparison = "==" if kind == "permit" else "!="
    text = (
        PERMIT_ALL + f'@id("home") {kind} (principal, action == Action::"escalate", resource) '
        f"when {{ resource.region {comparison} context.region }};"
    )
    decision = decide(text, around=around)
    assert not decision.may_escalate
    assert "policy-failed" in decision.policy_ids
    assert decide(text).may_escalate


def test_an_unknown_tier_belongs_to_neither() -> None:
    text = (
        PERMIT_ALL
        + '@id("not-public") forbid (principal, action == Action::"escalate", resource) when { resource.tier == Tier::"public" };'
    )
    hub = replace(HUB, providers=(replace(CLOUD, tier="moon"),))
    assert not decide(text, around=replace(HERE, hub=hub)).may_escalate


def test_a_fact_that_cedar_cannot_hold_denies_everything() -> None:
    spare = (
        PERMIT_ALL + '@id("spare") forbid (principal, action, resource) when { context has budget_tokens && context.budget_tokens < 9 };'
    )
    assert decide(spare, around=replace(HERE, budget_tokens=2**70)) == Decision(False, policy_ids=("policy-failed",))
    twice = replace(HUB, providers=(HOUSE, replace(HOUSE, region="us-east")))
    assert decide(PERMIT_ALL, around=replace(HERE, hub=twice)) == Decision(False, policy_ids=("policy-failed",))


def test_a_way_that_is_open_to_the_prompt_as_it_is_is_taken_before_one_that_wants_it_redacted() -> None:
    text = (
        '@id("hub") permit (principal, action == Action::"pass", resource);'
        '@id("ours") permit (principal, action == Action::"escalate", resource == Provider::"house");'
        '@id("theirs") permit (principal, action == Action::"escalate", resource) when { context.redacted };'
    )
    assert ways(decide(text)) == [("house", False)]
    no_house = replace(HERE, hub=replace(HUB, providers=(CLOUD,)))
    assert ways(decide(text, around=no_house)) == [("cloud", True)]


def test_what_leaves_is_decided_alone_for_the_hub() -> None:
    policy = Policy(SHIPPED)
    internal = Classification(DataClass.INTERNAL)
    assert policy.leave("a1", internal, HERE, redacted=False).routes == ()
    assert {route.provider for route in policy.leave("a1", internal, HERE, redacted=True).routes} == set(HUB.providers)


def test_an_explanation_says_of_each_action_who_decided_and_why_a_policy_failed() -> None:
    verdicts = Policy(SHIPPED).explain("a1", Classification(DataClass.CONFIDENTIAL), replace(HERE, region=""))
    assert [(verdict.action, verdict.allowed) for verdict in verdicts[:3]] == [("cache", True), ("record", False), ("learn", True)]
    assert verdicts[0].policy_ids == ("answers-may-be-kept",)
    failed = next(verdict for verdict in verdicts if (verdict.action, verdict.redacted) == ("pass", True))
    assert failed.policy_ids == ("policy-failed",)
    assert "`confidential-may-pass-redacted`" in failed.errors[0]
    assert "region" in failed.errors[0]


def test_what_no_policy_permits_is_denied() -> None:
    assert decide("") == Decision(False, policy_ids=("default-deny",))


def test_a_site_may_allow_one_tier_for_some_kinds_on_one_agent() -> None:
    text = (
        '@id("hub") permit (principal, action == Action::"pass", resource);'
        '@id("e-mail-to-private") permit (principal == Agent::"a1", action == Action::"escalate", resource) '
        'when { resource.tier == Tier::"private" && ["EMAIL_ADDRESS"].containsAll(context.kinds) };'
    )
    email = Classification(DataClass.RESTRICTED, ("EMAIL_ADDRESS",))
    assert ways(Policy(text).decide("a1", email, HERE)) == [("house", False), ("abroad", False)]
    assert not Policy(text).decide("a2", email, HERE).may_escalate
    assert not Policy(text).decide("a1", Classification(DataClass.RESTRICTED, ("API_KEY", "EMAIL_ADDRESS")), HERE).may_escalate


def test_a_forbid_beats_every_permit() -> None:
    assert decide(PERMIT_ALL + '@id("no") forbid (principal, action, resource);') == Decision(False, policy_ids=("no",))


@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_a_policy_that_fails_denies_whatever_the_others_say(effect: str) -> None:
    broken = f'@id("broken") {effect} (principal, action == Action::"escalate", resource) {OVERFLOWS};'
    decision = decide(PERMIT_ALL + broken)
    assert (decision.may_cache, decision.routes, decision.policy_ids) == (True, (), ("all", "policy-failed"))


def test_the_same_question_has_the_same_answer_however_often_it_is_asked() -> None:
    policy = Policy(SHIPPED)
    first = [policy.decide(f"a{number}", PUBLIC, replace(HERE, budget_tokens=number)) for number in range(2000)]
    assert first == [policy.decide(f"a{number}", PUBLIC, replace(HERE, budget_tokens=number)) for number in range(2000)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("permit (principal, action, resource);", "@id"),
        ('@id("") permit (principal, action, resource);', "@id"),
        (PERMIT_ALL + PERMIT_ALL, "share an @id"),
        ('@id("t") permit (principal == ?principal, action, resource);', "templates"),
        ('@id("t") permit (principal, action, resource) when { context.clas == "public" };', "clas"),
        ('@id("t") permit (principal, action == Action::"upload", resource);', "upload"),
        ('@id("t") permit (principal, action == Action::"escalate", resource) when { resource.tier == Tier::"moon" };', "moon"),
        ('@id("t") permit (principal, action == Action::"cache", resource) when { resource.region == "eu" };', "region"),
        ('@id("t") permit (principal, action, resource) when { context.budget_tokens > 1 };', "budget_tokens"),
        ('@id("t") permit (principal, action, resource) when { context.class == 4 };', "types"),
        ("permit", "unexpected end"),
        ("\0", "invalid token"),
        ("\ud800", "surrogates"),
        ("/* " * 10_000, "at most 20000"),
        (f'@id("t") permit (principal, action, resource) when {{ {"(" * 5000}true{")" * 5000} }};', "nested"),
        (f'@id("t") permit (principal, action, resource) when {{ {"[" * 9000}', "nested"),
    ],
)
def test_what_cannot_be_a_policy_is_refused_with_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Policy(text)
    assert caught.value.reason is Reason.POLICY_INVALID
    assert why in caught.value.message
    assert len(caught.value.message) < 700


def test_as_much_as_is_let_through_does_not_overflow_the_parser() -> None:
    deepest = f'@id("t") permit (principal, action, resource) when {{ {"(" * 98}true{")" * 98} }};'
    assert decide(deepest).may_cache
    longest = '@id("t") permit (principal, action, resource) when { 1' + "+1" * 9950 + " > 0 };"
    assert 19_900 < len(longest) <= 20_000
    with pytest.raises(InvalidRequest, match="recursion"):
        Policy(longest)


def test_equal_texts_have_equal_digests() -> None:
    assert Policy(SHIPPED).digest == Policy(SHIPPED).digest
    assert Policy(SHIPPED).digest != Policy(SHIPPED + "\n").digest
