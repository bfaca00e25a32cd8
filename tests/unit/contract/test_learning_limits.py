"""A site's limits: what they may be, and that of two the stricter holds."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import InvalidRequest, Reason
from contract.learning_limits import LEAST_COHORT, NEVER, LearningLimits
from contract.policy_bundle import check_policy_bundle
from contract.secagg.rules import MOST_AGENTS
from tests.fakes.secagg_cohort import refused

LIMITS = LearningLimits(True, smallest_cohort=8, exact_cohort=32, epsilon=5.0, delta=1e-7)
POLICY = b'@id("all") permit (principal, action, resource);'


@st.composite
def limits(draw: st.DrawFn) -> LearningLimits:
    smallest = draw(st.integers(LEAST_COHORT, MOST_AGENTS))
    exact = draw(st.sampled_from([NEVER]) | st.integers(smallest, MOST_AGENTS))
    epsilon, delta = draw(st.floats(0.01, 1000)), draw(st.floats(1e-12, 1e-3))
    return LearningLimits(draw(st.booleans()), smallest, exact, epsilon, delta)


@given(limits(), limits(), st.integers(1, MOST_AGENTS))
def test_of_two_limits_the_stricter_holds_in_everything(one: LearningLimits, other: LearningLimits, cohort: int) -> None:
    both = one.stricter(other)
    assert both == other.stricter(one)
    assert both.enabled == (one.enabled and other.enabled)
    assert both.smallest_cohort >= max(one.smallest_cohort, other.smallest_cohort)
    assert both.epsilon <= min(one.epsilon, other.epsilon)
    assert both.delta <= min(one.delta, other.delta)
    assert both.may_be_exact(cohort) <= (one.may_be_exact(cohort) and other.may_be_exact(cohort))
    assert one.stricter(one) == one


def test_a_sum_without_noise_is_for_large_cohorts_alone_and_by_itself_for_none() -> None:
    assert not LIMITS.may_be_exact(31)
    assert LIMITS.may_be_exact(32)
    assert not LearningLimits(True).may_be_exact(MOST_AGENTS)


@pytest.mark.parametrize(
    "change",
    [
        {"smallest_cohort": 3},
        {"smallest_cohort": 65},
        {"exact_cohort": 7},
        {"exact_cohort": 65},
        {"exact_cohort": -1},
        {"epsilon": 0.0},
        {"epsilon": float("nan")},
        {"epsilon": float("inf")},
        {"delta": 0.0},
        {"delta": 0.5},
    ],
)
def test_limits_that_protect_nobody_are_refused(change: dict[str, float]) -> None:
    with refused(Reason.FIELD_INVALID):
        replace(LIMITS, **change)  # type: ignore[arg-type]


@given(limits())
def test_limits_are_read_as_they_were_written(written: LearningLimits) -> None:
    assert LearningLimits.from_json(written.to_json()) == written


@pytest.mark.parametrize(
    ("name", "value"), [("enabled", 1), ("enabled", None), ("smallest_cohort", 8.0), ("smallest_cohort", True), ("epsilon", "5")]
)
def test_a_field_of_another_kind_is_refused(name: str, value: object) -> None:
    with refused(Reason.FIELD_INVALID):
        LearningLimits.from_json(json.dumps(asdict(LIMITS) | {name: value}).encode())


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b"[" * 100_000, b'{"enabled": true}', b"\xff"])
def test_what_is_no_limits_or_lacks_one_is_refused(content: bytes) -> None:
    with refused(Reason.FIELD_INVALID):
        LearningLimits.from_json(content)


def test_a_signed_policy_may_bring_limits_and_is_refused_with_bad_ones() -> None:
    check_policy_bundle({"policy.cedar": POLICY, "learning.json": LIMITS.to_json()})
    with pytest.raises(InvalidRequest):
        check_policy_bundle({"policy.cedar": POLICY, "learning.json": b"{}"})
