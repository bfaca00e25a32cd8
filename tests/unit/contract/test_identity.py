"""Names, SPIFFE ids and join tokens: what is taken, what is refused."""

from dataclasses import replace

import pytest

from contract.errors import InvalidRequest, NotAuthenticated, Reason
from contract.identity import JoinToken, SpiffeId, agent_name, key_hash, parse_agent_name

TOKEN = JoinToken("0123456789abcdef", "S" * 43, key_hash(b"the CA's key"))


@pytest.mark.parametrize("agent_id", ["a", "7", "plant-7", "a" * 63, "a--b"])
def test_a_dns_label_is_an_agent_id(agent_id: str) -> None:
    assert parse_agent_name(agent_name(agent_id)) == agent_id


@pytest.mark.parametrize("agent_id", ["", "-a", "a-", "A", "a_b", "a.b", "a/b", "a" * 64, "ä", "a\n", "٣", "a b", "../a", "+", "#"])
def test_anything_else_is_not(agent_id: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        agent_name(agent_id)
    assert caught.value.reason is Reason.NAME_INVALID


@pytest.mark.parametrize("name", ["", "agents", "agents/", "agent/a", "agents/a/b", "/agents/a", "models/a"])
def test_another_resources_name_is_no_agents(name: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_agent_name(name)


@pytest.mark.parametrize("role", ["agent", "operator", "auditor", "publisher"])
def test_a_spiffe_id_of_a_known_role_is_read(role: str) -> None:
    identity = SpiffeId("seawall.example.org", role, "plant-7")
    assert str(identity) == f"spiffe://seawall.example.org/{role}s/plant-7"
    assert SpiffeId.parse(str(identity)) == identity


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://example.org/agents/a",
        "spiffe://example.org/agents/",
        "spiffe://example.org/roots/a",
        "spiffe://example.org/agent/a",
        "spiffe://example.org/agents/a/b",
        "spiffe://example.org/agents/a?x=1",
        "spiffe://example.org/agents/a\n",
        "spiffe://example.org/agents/A",
        "spiffe://EXAMPLE.org/agents/a",
        "spiffe://user@example.org/agents/a",
        "spiffe://example.org:443/agents/a",
        "spiffe:///agents/a",
        "SPIFFE://example.org/agents/a",
    ],
)
def test_any_other_is_refused(uri: str) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        SpiffeId.parse(uri)
    assert caught.value.reason is Reason.CERTIFICATE_INVALID


def test_a_token_is_read_as_it_was_written_with_room_around_it() -> None:
    assert JoinToken.parse(f" {TOKEN}\n") == TOKEN
    assert str(TOKEN).startswith(TOKEN.credential + ".")


@pytest.mark.parametrize(
    "text", ["", "a.b.c", str(TOKEN)[:-1], f"{TOKEN}0", f"{TOKEN}.more", str(TOKEN).replace(".", " "), str(TOKEN).upper(), TOKEN.credential]
)
def test_a_torn_token_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        JoinToken.parse(text)
    assert caught.value.reason is Reason.JOIN_TOKEN_INVALID
    assert TOKEN.secret not in caught.value.message


def test_a_token_may_name_a_root() -> None:
    token = replace(TOKEN, root_sha256="a" * 64)
    assert str(token) == f"{TOKEN}.{'a' * 64}"
    assert JoinToken.parse(str(token)) == token
    assert token.credential == TOKEN.credential
    for torn in (str(token)[:-1], f"{token}0", f"{token}.more", f"{TOKEN}."):
        with pytest.raises(NotAuthenticated):
            JoinToken.parse(torn)


def test_a_token_trusts_one_key_alone() -> None:
    assert TOKEN.trusts(b"the CA's key")
    assert not TOKEN.trusts(b"another key")
    assert not TOKEN.trusts(b"")


def test_the_secret_is_not_shown_where_a_token_is() -> None:
    assert TOKEN.secret not in repr(TOKEN)


def test_the_hub_is_not_shown_more_than_it_needs() -> None:
    assert TOKEN.credential == f"{TOKEN.token_id}.{TOKEN.secret}"
