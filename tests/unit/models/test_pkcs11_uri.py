from pathlib import Path

import pytest

from contract.errors import InvalidRequest
from models.pkcs11_uri import is_key_uri, parse_key_uri


def test_the_token_the_key_and_the_way_to_both_are_read() -> None:
    uri = parse_key_uri("pkcs11:token=sea%20wall;object=root-1;id=%01%ffA?module-path=/usr/lib/p11.so&pin-source=file:/run/pin")
    assert uri.token == {"token": "sea wall"}
    assert (uri.label, uri.id) == ("root-1", b"\x01\xffA")
    assert uri.module("/other.so") == "/usr/lib/p11.so"
    assert uri.pin_path == Path("/run/pin")
    assert uri.token_name == "sea wall"


def test_what_is_not_named_is_left_open() -> None:
    uri = parse_key_uri("pkcs11:id=%00%01")
    assert (uri.token, uri.label, uri.id, uri.pin_path) == ({}, None, b"\x00\x01", None)
    assert uri.module("/default.so") == "/default.so"
    with pytest.raises(InvalidRequest, match="PYKCS11LIB"):
        uri.module("")


def test_a_uri_as_p11tool_lists_them_is_understood() -> None:
    uri = parse_key_uri("pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=6036c4;token=a;id=%02;object=b;type=private")
    assert uri.token == {"token": "a", "serial": "6036c4", "manufacturer": "SoftHSM project", "model": "SoftHSM v2"}


@pytest.mark.parametrize("source", ["file:/run/pin", "file:///run/pin", "/run/pin", "file:/run%2Fpin"])
def test_a_pin_source_is_a_file(source: str) -> None:
    assert parse_key_uri(f"pkcs11:object=a?pin-source={source}").pin_path == Path("/run/pin")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("root.pem", "does not begin with"),
        ("pkcs11:token=a", "in quotes"),
        ("pkcs11:", "no object and no id"),
        ("pkcs11:object=a;slot-id=1", "'slot-id' is not understood"),
        ("pkcs11:object=a;object=b", "two of object"),
        ("pkcs11:object", "'object' is not understood"),
        ("pkcs11:object=%ff", "no UTF-8"),
        ("pkcs11:object=a;type=cert", "its type"),
        ("pkcs11:object=a?module-name=p11", "'module-name' is not understood"),
        ("pkcs11:object=a?pin-source=%7C/usr/bin/pass", "no file"),
        ("pkcs11:object=a?pin-source=file:pin", "no file"),
        ("pkcs11:object=a?pin-source=file://elsewhere/pin", "no file"),
    ],
)
def test_what_may_mean_another_key_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_key_uri(text)
    assert text in raised.value.message
    assert why in raised.value.message


def test_a_pin_on_the_command_line_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidRequest, match="pin-source") as raised:
        parse_key_uri("pkcs11:object=a?pin-value=271828")
    assert "271828" not in raised.value.message


def test_a_file_is_told_from_a_uri() -> None:
    assert is_key_uri("pkcs11:object=a")
    assert not is_key_uri("keys/pkcs11.pem")
