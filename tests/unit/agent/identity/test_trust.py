"""First contact, with real TLS servers."""

import secrets

import pytest
from cryptography import x509

from agent.identity.trust import fetch_ca
from contract.errors import NotAuthenticated, Reason, Unavailable
from contract.identity import JoinToken, key_hash
from tests.fakes.tls import Authority, free_port, listener, tls_server

OURS, THEIRS = Authority("ours"), Authority("theirs")


def token_of(authority: Authority) -> JoinToken:
    return JoinToken("0" * 16, secrets.token_urlsafe(32), key_hash(authority.public_key_der))


def test_the_ca_behind_the_servers_certificate_is_believed_if_the_token_was_made_for_its_key() -> None:
    with tls_server(OURS.issue(), chain_pem=OURS.pem) as port:
        fetched = fetch_ca("127.0.0.1", port, token_of(OURS))
    assert x509.load_pem_x509_certificate(fetched) == x509.load_pem_x509_certificate(OURS.pem)


def test_another_ca_is_not_believed_and_the_message_holds_no_part_of_the_token() -> None:
    token = token_of(OURS)
    with tls_server(THEIRS.issue(), chain_pem=THEIRS.pem) as port, pytest.raises(NotAuthenticated) as caught:
        fetch_ca("127.0.0.1", port, token)
    assert caught.value.reason is Reason.CERTIFICATE_INVALID
    assert not any(part in caught.value.message for part in str(token).split("."))


def test_a_server_that_keeps_its_ca_to_itself_is_not_believed() -> None:
    with tls_server(OURS.issue()) as port, pytest.raises(NotAuthenticated):
        fetch_ca("127.0.0.1", port, token_of(OURS))


def test_the_right_ca_is_found_behind_another_one() -> None:
    with tls_server(THEIRS.issue(), chain_pem=THEIRS.pem + OURS.pem) as port:
        fetched = fetch_ca("127.0.0.1", port, token_of(OURS))
    assert x509.load_pem_x509_certificate(fetched) == x509.load_pem_x509_certificate(OURS.pem)


def test_a_server_without_tls_is_no_hub() -> None:
    with listener(None) as port, pytest.raises(Unavailable) as caught:
        fetch_ca("127.0.0.1", port, token_of(OURS))
    assert caught.value.reason is Reason.HUB_UNAVAILABLE


def test_where_nobody_listens_the_address_is_named() -> None:
    port = free_port()
    with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
        fetch_ca("127.0.0.1", port, token_of(OURS))


@pytest.mark.parametrize("host", ["a..b", "a" * 70, "\0", ".example"])
def test_a_host_that_cannot_be_one_is_an_error_of_ours(host: str) -> None:
    with pytest.raises(Unavailable):
        fetch_ca(host, 7443, token_of(OURS))
