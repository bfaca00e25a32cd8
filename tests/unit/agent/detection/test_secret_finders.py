"""Keys and passwords are found in their places, and talk about them is not. No value here was ever anybody's."""

import pytest

from agent.detection.secrets import find_secrets, looks_random

JUNK = "aB3dE5gH7jK9mN1pQ4sT6vX8zC0fR2wY"


def found(text: str) -> set[tuple[str, str]]:
    return {(text[finding.start : finding.end], finding.kind) for finding in find_secrets(text)}


@pytest.mark.parametrize(
    "key",
    [
        f"sk-proj-{JUNK}",
        f"sk-ant-api03-{JUNK}",
        "AKIAQ3EGRZ2LXK7TFW5P",
        f"ghp_{JUNK}abcd",
        f"glpat-{JUNK[:20]}",
        f"AIza{JUNK}abc",
        f"sk_live_{JUNK[:24]}",
        f"hf_{'a' * 34}",
        f"SG.{JUNK[:22]}.{JUNK}",
        f"eyJhbGciOiJIUzI1NiJ9.eyJ{JUNK}.{JUNK}",
        f"https://hooks.slack.com/services/T0{JUNK[:8]}/B0{JUNK[:8]}/{JUNK[:24]}",
        f"MT{JUNK[:22]}.{JUNK[:6]}.{JUNK[:27]}",
        JUNK,
    ],
)
def test_a_key_is_found_whole_wherever_it_stands(key: str) -> None:
    for text in (f"Is {key} still good?", f"KEY='{key}'", f"x\n{key}\ny", key):
        assert any(key in value for value, _ in found(text)), text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("my password is hunter2", "hunter2"),
        ("Passwort lautet: geheim", "geheim"),
        ("hasło: tajne", "tajne"),
        ("the wifi password's now Sunflower12", "Sunflower12"),
        ("use Tr0ub4dor as the new password", "Tr0ub4dor"),
        ("log in with admin:secret123", "secret123"),
        ("passphrase: correct horse battery staple", "correct horse battery staple"),
        ('password = "two words"', "two words"),
        ("CVV 123", "123"),
        ("I changed my password to pirate274 and forgot it", "pirate274"),
        ("the door code for the shed is 4711", "4711"),
        ("https://jo:pa55@example.org/", "jo:pa55"),
        ("SharedAccessKey=" + "A" * 43 + "=", "A" * 43 + "="),
        ("(password: sesame)", "sesame"),
    ],
)
def test_what_a_text_calls_a_secret_is_found_in_its_place(text: str, value: str) -> None:
    assert value in {place for place, _ in found(text)}


@pytest.mark.parametrize(
    "text",
    [
        "The password is wrong.",
        "A password must be longer.",
        'password = os.environ["DB_PASSWORD"]',
        "password: str",
        "I forgot my password.",
        "The token bucket is full.",
        "He made a pass to Fowler for 2 yards.",
        "The secret of good bread",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "the file /usr/share/Doc2/Read3me/Latest4/index",
        "getElementByIdentifierName2",
        "5d41402abc4b2a76b9719d911017c592",
        "ratio 3:45 and user manual",
    ],
)
def test_talk_about_secrets_is_none(text: str) -> None:
    assert found(text) == set()


def test_a_private_key_goes_whole_and_to_the_end_where_its_own_is_missing() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"
    assert (key, "PRIVATE_KEY") in found(f"see {key} there")
    assert ("-----BEGIN PRIVATE KEY-----\nMIIE more", "PRIVATE_KEY") in found("see -----BEGIN PRIVATE KEY-----\nMIIE more")


def test_a_name_in_camel_case_is_not_random_and_a_key_is() -> None:
    assert looks_random(JUNK)
    assert not looks_random("ThisIsTheLongNameOfAClass2")
    assert not looks_random("aaaaaaaaaaaaaaaaaaaaB1")
