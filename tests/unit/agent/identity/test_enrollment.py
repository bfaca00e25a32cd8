"""What enrolment refuses before anything is sent."""

import pytest

from agent.identity.enrollment import enroll, split_address
from contract.errors import InvalidRequest, NotAuthenticated, Reason, Unavailable
from tests.fakes.tls import Authority, free_port, tls_server

TOKEN = f"{'0' * 16}.{'s' * 43}.{'0' * 64}"


@pytest.mark.parametrize(
    ("address", "parts"),
    [("hub.example.org:7443", ("hub.example.org", 7443)), ("[::1]:1", ("::1", 1)), ("127.0.0.1:65535", ("127.0.0.1", 65535))],
)
def test_an_address_is_a_host_and_a_port(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["", "hub", "hub:", ":7443", "hub:0", "hub:65536", "hub:-1", "hub:²", "hub:٣", "hub:7 4"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        split_address(address)
    assert caught.value.reason is Reason.FIELD_INVALID


def test_a_torn_token_is_refused_before_anybody_is_called() -> None:
    with pytest.raises(NotAuthenticated) as caught:
        enroll(TOKEN[:-1], f"127.0.0.1:{free_port()}", "127.0.0.1:7444")
    assert caught.value.reason is Reason.JOIN_TOKEN_INVALID


def test_a_hub_that_did_not_make_the_token_is_not_told_it() -> None:
    authority = Authority()
    with tls_server(authority.issue(), chain_pem=authority.pem) as port, pytest.raises(NotAuthenticated) as caught:
        enroll(TOKEN, f"127.0.0.1:{port}", "127.0.0.1:7444")
    assert caught.value.reason is Reason.CERTIFICATE_INVALID


def test_a_hub_that_is_away_is_named() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=address):
        enroll(TOKEN, address, "127.0.0.1:7444")
