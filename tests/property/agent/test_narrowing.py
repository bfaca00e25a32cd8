"""Whatever the hub wants, the agent allows no more than it did before."""

from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from agent.narrowing import Narrowing, OwnLimits, met, narrow
from agent.prompts import Sampling
from contract.classification import Classification, DataClass
from contract.decision import Decision, Route
from contract.errors import InvalidRequest, Reason
from contract.surroundings import Provider
from seawall.hub.v1.group_pb2 import Configuration
from tests.fakes.surroundings import HUB

CLASSES = [str(item) for item in DataClass]


def configured(fields: dict[str, Any]) -> Configuration:
    return Configuration(**fields)


owns = st.builds(
    OwnLimits,
    floor=st.sampled_from(DataClass),
    bar=st.floats(0, 1),
    most_tokens=st.integers(1, 4096),
    usual_tokens=st.integers(1, 4096),
)
well_formed = st.fixed_dictionaries(
    {},
    optional={
        "escalation_disabled": st.booleans(),
        "cache_disabled": st.booleans(),
        "floor": st.sampled_from(CLASSES),
        "trust_bar": st.floats(0, 1),
        "max_output_tokens": st.integers(1, 2**31 - 1),
        "log_level": st.sampled_from(["debug", "info", "warning", "error"]),
    },
).map(configured)
anything = st.fixed_dictionaries(
    {},
    optional={
        "escalation_disabled": st.booleans(),
        "cache_disabled": st.booleans(),
        "floor": st.text(max_size=12) | st.sampled_from(CLASSES),
        "trust_bar": st.floats(),
        "max_output_tokens": st.integers(-(2**31), 2**31 - 1),
        "log_level": st.text(max_size=8),
    },
).map(configured)


def ways(providers: list[Provider], redacted: bool) -> tuple[Route, ...]:
    return tuple(Route(provider, redacted) for provider in providers)


def leaves_more(one: Decision, other: Decision) -> bool:
    """Whether a prompt may go somewhere by one decision that it may not by the other; redacted is less."""
    theirs = {route.provider: route.redacted for route in other.routes}
    return any(route.provider not in theirs or theirs[route.provider] > route.redacted for route in one.routes)


decisions = st.builds(
    Decision,
    may_cache=st.booleans(),
    routes=st.builds(ways, st.lists(st.sampled_from(HUB.providers), unique=True), st.booleans()),
    policy_ids=st.lists(st.text(max_size=3), max_size=2).map(tuple),
)
policies = st.fixed_dictionaries(dict.fromkeys(DataClass, decisions))
"""Any policy at all, also one that allows more to a higher class."""


def check_subset(own: OwnLimits, narrowing: Narrowing, policy: dict[DataClass, Decision], found: DataClass, asked: int | None) -> None:
    before = policy[found]
    classification, after = narrowing.decide(Classification(found), lambda given: policy[given.data_class])
    assert classification.data_class >= found
    assert after.may_cache <= before.may_cache
    assert not leaves_more(after, before)
    assert not leaves_more(after, policy[classification.data_class])
    assert narrowing.bar <= own.bar
    tokens = narrowing.sampling(Sampling(max_tokens=asked)).max_tokens
    if narrowing.most_tokens is None:
        assert tokens == asked
    else:
        assert tokens is not None
        assert 1 <= tokens <= min(asked or own.usual_tokens, narrowing.most_tokens)


@given(owns, well_formed | anything, policies, st.sampled_from(DataClass), st.none() | st.integers(1, 10_000))
def test_what_is_accepted_allows_a_subset(
    own: OwnLimits, wanted: Configuration, policy: dict[DataClass, Decision], above: DataClass, asked: int | None
) -> None:
    try:
        narrowing = narrow(own, wanted)
    except InvalidRequest:
        return
    check_subset(own, narrowing, policy, max(own.floor, above), asked)


@given(owns, well_formed, policies, st.sampled_from(DataClass), st.none() | st.integers(1, 10_000))
def test_what_was_applied_before_the_file_changed_allows_a_subset(
    own: OwnLimits, wanted: Configuration, policy: dict[DataClass, Decision], above: DataClass, asked: int | None
) -> None:
    check_subset(own, met(own, wanted), policy, max(own.floor, above), asked)


@given(owns, well_formed)
def test_a_configuration_is_refused_exactly_where_it_asks_for_more(own: OwnLimits, wanted: Configuration) -> None:
    asks_for_more = (
        (wanted.HasField("floor") and CLASSES.index(wanted.floor) + 1 < own.floor)
        or (wanted.HasField("trust_bar") and wanted.trust_bar > own.bar)
        or (wanted.HasField("max_output_tokens") and wanted.max_output_tokens > own.most_tokens)
    )
    if asks_for_more:
        with pytest.raises(InvalidRequest) as caught:
            narrow(own, wanted)
        assert caught.value.reason is Reason.CONFIGURATION_WIDENS
    else:
        narrow(own, wanted)


@pytest.mark.parametrize(
    "wanted",
    [
        {"floor": "secret"},
        {"trust_bar": float("nan")},
        {"trust_bar": -0.1},
        {"trust_bar": 1.1},
        {"max_output_tokens": 0},
        {"max_output_tokens": -1},
        {"log_level": "loud"},
    ],
)
def test_what_makes_no_sense_is_refused(wanted: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        narrow(OwnLimits(), Configuration(**wanted))
    assert caught.value.reason is Reason.FIELD_INVALID


def test_what_this_version_does_not_know_is_refused_not_passed_over() -> None:
    newer: Message = Configuration.FromString(b"\x98\x06\x01")  # field 99
    assert isinstance(newer, Configuration)
    with pytest.raises(InvalidRequest) as caught:
        narrow(OwnLimits(), newer)
    assert caught.value.reason is Reason.FIELD_UNKNOWN


@given(decisions, st.sampled_from(DataClass))
def test_nothing_wanted_changes_nothing(decision: Decision, found: DataClass) -> None:
    narrowing = narrow(OwnLimits(), Configuration())
    classification = Classification(max(OwnLimits().floor, found))
    assert narrowing.decide(classification, lambda _: decision) == (classification, decision)
    assert narrowing.sampling(Sampling(max_tokens=7)) == Sampling(max_tokens=7)
