"""Whatever the policy and whatever surrounds the prompt: what is denied stays denied."""

from importlib import resources

from hypothesis import given
from hypothesis import strategies as st

from contract.classification import Classification, DataClass
from contract.policy import Policy
from contract.surroundings import TIERS, Hub, Provider, Surroundings

SHIPPED = Policy(resources.files("contract").joinpath("default.cedar").read_text("utf-8"))

regions = st.sampled_from(["", "de-fra", "us-east"])
days = st.none() | st.integers(0, 365)


def numbered(drawn: list[tuple[str, str, str, int | None]]) -> tuple[Provider, ...]:
    return tuple(Provider(f"p{number}", *fields) for number, fields in enumerate(drawn))


providers = st.lists(st.tuples(st.sampled_from(TIERS), regions, st.sampled_from(["", "acme"]), days), max_size=3).map(numbered)
hubs = st.builds(Hub, st.just("seawall.test"), regions, st.sampled_from(["", "acme"]), providers)
surroundings = st.builds(
    Surroundings,
    site=st.sampled_from(["", "oslo"]),
    region=regions,
    intake=st.sampled_from(["", "http", "mqtt"]),
    hub=st.none() | hubs,
    can_redact=st.booleans(),
    latency_milliseconds=st.none() | st.integers(0, 10_000),
    budget_tokens=st.none() | st.integers(0, 10_000),
)
kinds = st.sets(st.sampled_from(["PERSON", "EMAIL_ADDRESS", "API_KEY"])).map(sorted).map(tuple)

actions = st.sampled_from(["cache", "record", "learn", "pass", "escalate"])
conditions = st.sampled_from(
    [
        "true",
        'context.class == "public"',
        'context.class == "confidential"',
        "context.redacted",
        "context.region == context.site",
        'context.kinds.contains("PERSON")',
        "context has budget_tokens && context.budget_tokens > 100",
        "9223372036854775807 + 1 > 0",
    ]
)
rules = st.tuples(st.sampled_from(["permit", "forbid"]), actions, conditions)


def policy_of(drawn: list[tuple[str, str, str]]) -> str:
    lines = (
        f'@id("r{number}") {effect} (principal, action == Action::"{action}", resource) when {{ {condition} }};'
        for number, (effect, action, condition) in enumerate(drawn)
    )
    return "\n".join(lines)


texts = st.lists(rules, max_size=6).map(policy_of)


def allowed(policy: Policy, classification: Classification, around: Surroundings) -> set[object]:
    """All that a policy allows; where a prompt may go as it is, it may go redacted."""
    decision, sharing = policy.decide("a1", classification, around), policy.share("a1", classification, around)
    found: set[object] = {verdict.action for verdict in (sharing.record, sharing.learn) if verdict.allowed}
    found |= {"cache"} if decision.may_cache else set()
    for route in decision.routes:
        found |= {(route.provider, True)} if route.redacted else {(route.provider, True), (route.provider, False)}
    return found


@given(texts, st.sampled_from(DataClass), kinds, surroundings, actions)
def test_a_forbid_of_an_action_wins_whatever_permits_it(
    text: str, data_class: DataClass, found: tuple[str, ...], around: Surroundings, action: str
) -> None:
    before = allowed(Policy(text), Classification(data_class, found), around)
    forbid = f'\n@id("no") forbid (principal, action == Action::"{action}", resource);'
    after = allowed(Policy(text + forbid), Classification(data_class, found), around)
    assert action not in after
    assert action not in ("pass", "escalate") or after <= {"cache", "record", "learn"}
    assert after <= before


@given(texts, st.sampled_from(DataClass), kinds, surroundings, actions)
def test_a_policy_that_fails_never_allows_more(
    text: str, data_class: DataClass, found: tuple[str, ...], around: Surroundings, action: str
) -> None:
    before = allowed(Policy(text), Classification(data_class, found), around)
    broken = f'\n@id("broken") permit (principal, action == Action::"{action}", resource) when {{ 9223372036854775807 + 1 > 0 }};'
    after = allowed(Policy(text + broken), Classification(data_class, found), around)
    assert after <= before


@given(st.sampled_from(DataClass), st.sampled_from(DataClass), kinds, surroundings)
def test_under_the_shipped_policy_a_higher_class_never_gains(
    one: DataClass, other: DataClass, found: tuple[str, ...], around: Surroundings
) -> None:
    lower, higher = sorted((one, other))
    above = allowed(SHIPPED, Classification(higher, found), around)
    assert above <= allowed(SHIPPED, Classification(lower, found), around)


@given(texts, st.sampled_from(DataClass), kinds, surroundings)
def test_a_prompt_leaves_only_where_it_is_explained_that_both_the_hub_and_the_provider_are_allowed(
    text: str, data_class: DataClass, found: tuple[str, ...], around: Surroundings
) -> None:
    policy, classification = Policy(text), Classification(data_class, found)
    yes = {
        (verdict.action, verdict.resource, verdict.redacted) for verdict in policy.explain("a1", classification, around) if verdict.allowed
    }
    decision = policy.decide("a1", classification, around)
    for route in decision.routes:
        assert {("pass", "seawall.test", route.redacted), ("escalate", route.provider.name, route.redacted)} <= yes
        assert around.can_redact or not route.redacted
    sharing = policy.share("a1", classification, around)
    assert decision.may_cache == (("cache", "", False) in yes)
    assert sharing.record.allowed == (("record", "", False) in yes)
    assert sharing.learn.allowed == (("learn", "", False) in yes)
    assert len({route.redacted for route in decision.routes}) < 2
