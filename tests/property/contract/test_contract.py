"""What both sides agree on, against any input."""

import json
from collections.abc import Callable
from importlib import resources
from typing import Any, TypeVar

from hypothesis import given
from hypothesis import strategies as st

from contract.bundle import FORMAT_VERSION, Bundle
from contract.classification import Classification, DataClass
from contract.errors import InvalidRequest, NotAuthenticated, Reason, SeawallError
from contract.identity import AGENT_ID, ROLES, TRUST_DOMAIN, JoinToken, SpiffeId, agent_name, key_hash, parse_agent_name
from contract.policy import Policy
from tests.fakes.surroundings import HERE, HUB

A = TypeVar("A")
T = TypeVar("T")

SHIPPED_TEXT = resources.files("contract").joinpath("default.cedar").read_text("utf-8")
SHIPPED = Policy(SHIPPED_TEXT)

any_text = st.text(st.characters())  # lone surrogates too
agent_ids = st.from_regex(AGENT_ID, fullmatch=True)
classifications = st.builds(Classification, st.sampled_from(DataClass), st.lists(any_text.map(ascii), unique=True).map(sorted).map(tuple))


def tried(make: Callable[[A], T], given: A) -> T | SeawallError:
    """Returns what is made, or the error of ours that refuses it."""
    try:
        return make(given)
    except SeawallError as error:
        return error


@given(agent_ids, classifications)
def test_under_the_shipped_policy_only_public_leaves_and_restricted_is_never_kept(agent_id: str, classification: Classification) -> None:
    decision = SHIPPED.decide(agent_id, classification, HERE)
    assert [route.provider for route in decision.routes] == list(HUB.providers if classification.data_class is DataClass.PUBLIC else ())
    assert decision.may_cache == (classification.data_class is not DataClass.RESTRICTED)


@given(st.sampled_from(["permit", "forbid"]), st.sampled_from(["cache", "record", "learn", "pass", "escalate"]), classifications)
def test_a_policy_that_fails_denies_its_action_to_every_prompt(effect: str, action: str, classification: Classification) -> None:
    broken = f'@id("b") {effect} (principal, action == Action::"{action}", resource) when {{ 9223372036854775807 + 1 > 0 }};'
    policy = Policy(f'@id("all") permit (principal, action, resource);{broken}')
    decision, sharing = policy.decide("a1", classification, HERE), policy.share("a1", classification, HERE)
    assert decision.may_cache == (action != "cache")
    assert sharing.record.allowed == (action != "record")
    assert sharing.learn.allowed == (action != "learn")
    assert decision.may_escalate == (action not in ("pass", "escalate"))


@st.composite
def torn(draw: st.DrawFn, text: str) -> str:
    """A text with a piece replaced by another of its pieces, or by anything."""
    start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
    first, last = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
    return text[:start] + draw(st.one_of(st.just(text[first:last]), any_text)) + text[end:]


@given(st.one_of(any_text, torn(SHIPPED_TEXT)))
def test_any_text_is_a_policy_or_refused_and_one_that_is_taken_decides(text: str) -> None:
    policy = tried(Policy, text)
    if isinstance(policy, SeawallError):
        assert (type(policy), policy.reason) == (InvalidRequest, Reason.POLICY_INVALID)
    else:
        ways = policy.decide("a1", Classification(DataClass.PUBLIC), HERE).routes
        assert {route.provider for route in ways} <= set(HUB.providers)


@given(any_text)
def test_an_agents_name_is_read_as_it_was_written_or_refused(text: str) -> None:
    name = tried(agent_name, text)
    if isinstance(name, SeawallError):
        assert name.reason is Reason.NAME_INVALID
        assert not AGENT_ID.fullmatch(text)
    else:
        assert parse_agent_name(name) == text


@given(st.from_regex(TRUST_DOMAIN, fullmatch=True), st.sampled_from(ROLES), agent_ids)
def test_a_spiffe_id_is_read_as_it_was_written(trust_domain: str, role: str, name: str) -> None:
    identity = SpiffeId(trust_domain, role, name)
    assert SpiffeId.parse(str(identity)) == identity


@given(st.one_of(any_text, torn("spiffe://example.org/agents/plant-7")))
def test_what_is_taken_for_a_spiffe_id_says_the_same_again(text: str) -> None:
    identity = tried(SpiffeId.parse, text)
    if isinstance(identity, SeawallError):
        assert (type(identity), identity.reason) == (NotAuthenticated, Reason.CERTIFICATE_INVALID)
    else:
        assert str(identity) == text


@given(st.binary(min_size=8, max_size=8), st.from_regex(r"[0-9a-zA-Z_-]{32,128}", fullmatch=True), st.binary())
def test_a_join_token_is_read_as_it_was_written(token_id: bytes, secret: str, key: bytes) -> None:
    token = JoinToken(token_id.hex(), secret, key_hash(key))
    assert JoinToken.parse(str(token)) == token
    assert token.trusts(key)


@given(st.one_of(any_text, torn(f"{'0' * 16}.{'s' * 43}.{'0' * 64}")))
def test_what_is_taken_for_a_join_token_says_the_same_again(text: str) -> None:
    token = tried(JoinToken.parse, text)
    if isinstance(token, SeawallError):
        assert (type(token), token.reason) == (NotAuthenticated, Reason.JOIN_TOKEN_INVALID)
    else:
        assert str(token) == text.strip()


BUNDLE: dict[str, Any] = {
    "format_version": FORMAT_VERSION,
    "name": "tiny",
    "version": "1.0",
    "precision": "int8",
    "license": "Apache-2.0",
    "source": {"kind": "index", "name": "p", "version": "1", "sha256": "0" * 64},
    "shape": {"layers": 1, "kv_heads": 1, "head_dim": 8, "vocabulary": 10, "context_tokens": 16},
    "chat_template": "{{ messages }}",
    "stop_token_ids": [2],
    "files": {"model.onnx": {"sha256": "0" * 64, "size_bytes": 1}},
}
any_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def bent_bundles(draw: st.DrawFn) -> Any:
    """A bundle in which any number of values, at any depth, were replaced or taken away."""
    bent = json.loads(json.dumps(BUNDLE))
    for _ in range(draw(st.integers(0, 3))):
        place = bent
        while isinstance(place, dict) and place:
            key = draw(st.sampled_from(sorted(place)))
            if not isinstance(place[key], dict) or draw(st.booleans()):
                if draw(st.booleans()):
                    place[key] = draw(any_json)
                else:
                    del place[key]
                break
            place = place[key]
    return bent


@given(st.one_of(any_json, bent_bundles()).map(lambda value: json.dumps(value).encode()) | st.binary())
def test_any_bytes_are_a_bundle_or_refused_and_one_that_is_taken_says_the_same_again(text: bytes) -> None:
    bundle = tried(Bundle.from_json, text)
    if isinstance(bundle, SeawallError):
        assert (type(bundle), bundle.reason) == (InvalidRequest, Reason.BUNDLE_INVALID)
        assert len(bundle.message) < 500
        return
    again = Bundle.from_json(bundle.to_json())
    assert again == bundle
    assert again.digest() == bundle.digest()
    assert not any("/" in name or name.startswith(".") for name in bundle.files)
