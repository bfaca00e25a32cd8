"""Policies: the shipped one, a site's own, and those that are refused."""

from importlib import resources

import pytest

from contract.classification import Classification, DataClass
from contract.errors import InvalidRequest, Reason
from contract.policy import Decision, Policy

SHIPPED = resources.files("contract").joinpath("default.cedar").read_text("utf-8")
PERMIT_ALL = '@id("all") permit (principal, action, resource);'
OVERFLOWS = "when { 9223372036854775807 + 1 > 0 }"
PUBLIC, RESTRICTED = Classification(DataClass.PUBLIC), Classification(DataClass.RESTRICTED, ("CREDIT_CARD",))


def decide(text: str, classification: Classification = PUBLIC) -> Decision:
    return Policy(text).decide("a1", classification)


@pytest.mark.parametrize(
    ("data_class", "decision"),
    [
        (DataClass.PUBLIC, Decision(True, ("private", "public"), ("answers-may-be-kept", "public-may-leave"))),
        (DataClass.INTERNAL, Decision(True, (), ("answers-may-be-kept", "default-deny"))),
        (DataClass.CONFIDENTIAL, Decision(True, (), ("answers-may-be-kept", "default-deny"))),
        (DataClass.RESTRICTED, Decision(False, (), ("restricted-stays",))),
    ],
)
def test_the_shipped_policy_lets_only_what_is_public_leave_and_keeps_nothing_restricted(data_class: DataClass, decision: Decision) -> None:
    assert decide(SHIPPED, Classification(data_class)) == decision


def test_what_no_policy_permits_is_denied() -> None:
    assert decide("") == Decision(False, (), ("default-deny",))


def test_a_site_may_allow_one_tier_for_some_kinds_on_one_agent() -> None:
    text = (
        '@id("e-mail-to-private") permit (principal == Agent::"a1", action == Action::"escalate", resource == Tier::"private") '
        'when { ["EMAIL_ADDRESS"].containsAll(context.kinds) };'
    )
    email = Classification(DataClass.RESTRICTED, ("EMAIL_ADDRESS",))
    assert Policy(text).decide("a1", email).tiers == ("private",)
    assert not Policy(text).decide("a2", email).may_escalate
    assert not Policy(text).decide("a1", Classification(DataClass.RESTRICTED, ("API_KEY", "EMAIL_ADDRESS"))).may_escalate


def test_a_forbid_beats_every_permit() -> None:
    assert decide(PERMIT_ALL + '@id("no") forbid (principal, action, resource);') == Decision(False, (), ("no",))


@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_a_policy_that_fails_denies_whatever_the_others_say(effect: str) -> None:
    broken = f'@id("broken") {effect} (principal, action == Action::"escalate", resource) {OVERFLOWS};'
    assert decide(PERMIT_ALL + broken) == Decision(True, (), ("all", "policy-failed"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("permit (principal, action, resource);", "@id"),
        ('@id("") permit (principal, action, resource);', "@id"),
        (PERMIT_ALL + PERMIT_ALL, "share an @id"),
        ('@id("t") permit (principal == ?principal, action, resource);', "templates"),
        ('@id("t") permit (principal, action, resource) when { context.clas == "public" };', "clas"),
        ('@id("t") permit (principal, action == Action::"upload", resource);', "upload"),
        ('@id("t") permit (principal, action, resource == Tier::"moon");', "moon"),
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
