"""The classifier never raises, and finds what was planted in any text."""

import re
from collections.abc import Callable, Iterator

import phonenumbers
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from agent.prompts import Message
from contract.classification import DataClass, Finding
from tests.fakes.classifier import classifier

CLASSIFIER = classifier()

any_text = st.text(st.characters(), max_size=60) | st.text("0123 4-/.+()@:xA=\u200b\n", max_size=60)
"""Anything, lone surrogates too, or what looks nearly like something."""
digits = st.characters(categories=["Nd"], max_codepoint=127)


def kinds(text: str) -> tuple[str, ...]:
    return CLASSIFIER.look_now([Message("user", text)]).classification.kinds


def luhn_digit(number: str) -> str:
    """The check digit (ISO/IEC 7812-1, annex B), computed another way than the one under test."""
    doubled = "0246813579"
    total = sum(int(doubled[int(digit)]) if place % 2 == 0 else int(digit) for place, digit in enumerate(reversed(number)))
    return str(-total % 10)


def iban_of(country: str, account: str) -> str:
    """An account number with its check digits (ISO 13616)."""
    number = int("".join(str(int(character, 36)) for character in f"{account}{country}00"))
    return f"{country}{98 - number % 97:02}{account}"


def grouped(text: str, sizes: tuple[int, ...], separator: str) -> str:
    groups = [text[sum(sizes[:place]) : sum(sizes[: place + 1])] for place in range(len(sizes))]
    return separator.join(group for group in (*groups, text[sum(sizes) :]) if group)


@st.composite
def cards(draw: st.DrawFn) -> str:
    prefix, length = draw(
        st.sampled_from([("4", 16), ("4", 13), ("51", 16), ("2345", 16), ("34", 15), ("37", 15), ("6011", 16), ("36", 14)])
    )
    body = prefix + draw(st.text(digits, min_size=length - len(prefix) - 1, max_size=length - len(prefix) - 1))
    sizes = draw(st.sampled_from([(), (4, 4, 4), (4, 6), (6,)]))
    return grouped(
        body + luhn_digit(body), sizes, draw(st.sampled_from([" ", "-", "  ", ".", "\N{NO-BREAK SPACE}", " \N{EN DASH} ", "\n"]))
    )


@st.composite
def ibans(draw: st.DrawFn) -> str:
    country, form = draw(
        st.sampled_from(
            [("DE", r"\d{18}"), ("GB", r"[A-Z]{4}\d{14}"), ("FR", r"\d{10}[A-Z0-9]{11}\d{2}"), ("NO", r"\d{11}"), ("NL", r"[A-Z]{4}\d{10}")]
        )
    )
    number = iban_of(country, draw(st.from_regex(re.compile(form, re.ASCII), fullmatch=True)))
    written = grouped(number, draw(st.sampled_from([(), (4, 4, 4, 4)])), draw(st.sampled_from([" ", "-", "\N{NARROW NO-BREAK SPACE}"])))
    return draw(st.sampled_from([written, written.lower()]))


KEY_FORMS = {
    "OpenAI": r"sk-proj-[A-Za-z0-9_-]{40}",
    "Anthropic": r"sk-ant-api03-[A-Za-z0-9_-]{40}",
    "AWS": r"AKIA[A-Z2-7]{16}",
    "GitHub": r"gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{82}",
    "GitLab": r"glpat-[A-Za-z0-9_-]{20}",
    "Slack": r"xoxb-[0-9]{11}-[0-9]{11}-[A-Za-z0-9]{24}",
    "Google": r"AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{28}",
    "Stripe": r"sk_live_[A-Za-z0-9]{24}|rk_test_[A-Za-z0-9]{24}|whsec_[A-Za-z0-9]{32}",
    "Twilio": r"(AC|SK)[0-9a-f]{32}",
    "SendGrid": r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
    "Hugging Face": r"hf_[A-Za-z]{34}",
    "package indexes": r"npm_[A-Za-z0-9]{36}|pypi-AgEI[A-Za-z0-9_-]{60}|dckr_pat_[A-Za-z0-9]{30}",
    "Telegram": r"[1-9][0-9]{9}:AA[A-Za-z0-9_-]{33}",
    "Vault": r"hvs\.[A-Za-z0-9_-]{24}",
    "web tokens": r"eyJ[A-Za-z0-9_-]{20}\.eyJ[A-Za-z0-9_-]{20}\.[A-Za-z0-9_-]{43}",
}
keys = st.sampled_from(sorted(KEY_FORMS.values())).flatmap(lambda form: st.from_regex(form, fullmatch=True))

private_keys = st.from_regex(
    r"-----BEGIN (RSA |EC |OPENSSH |ENCRYPTED )?PRIVATE KEY-----|-----BEGIN PGP PRIVATE KEY BLOCK-----", fullmatch=True
)

emails = st.emails() | st.sampled_from(["josé.pérez@münchen.example.de", "用户@例子.广告", '"a b"@example.com', "x+y@sub.example.co.uk"])

secrets = st.builds(
    str.format,
    st.sampled_from(
        [
            "password: {}", "my password is {}", '{{"password": "{}"}}', "DB_PASSWORD={}", "api_key = '{}'", "client secret: {}",
            "the password for the wifi is {}", "Passwort: {}", "mot de passe : {}", "Authorization: Bearer {}", "postgres://admin:{}@db/x",
        ]
    ),
    st.from_regex(r"[A-Za-z]{6}[0-9]{3}", fullmatch=True),
)  # fmt: skip

PLANTS = {
    "CREDIT_CARD": cards(),
    "IBAN_CODE": ibans(),
    "API_KEY": keys,
    "PRIVATE_KEY": private_keys,
    "EMAIL_ADDRESS": emails,
    "PASSWORD": secrets,
}

plants = st.sampled_from(sorted(PLANTS)).flatmap(lambda kind: st.tuples(st.just(kind), PLANTS[kind]))


@given(any_text, any_text, plants)
def test_what_is_planted_is_found_in_any_text(before: str, after: str, planted: tuple[str, str]) -> None:
    kind, text = planted
    assert kind in kinds(f"{before} {text} {after}")


@given(plants)
def test_what_begins_and_ends_with_the_text_is_found(planted: tuple[str, str]) -> None:
    kind, text = planted
    assert kind in kinds(text)


@given(any_text, plants, any_text)
def test_what_was_said_in_any_turn_is_found(before: str, planted: tuple[str, str], after: str) -> None:
    kind, text = planted
    turns = [Message("system", before), Message("user", text), Message("assistant", after), Message("user", "And now?")]
    assert kind in CLASSIFIER.look_now(turns).classification.kinds


DISGUISES: dict[str, Callable[[str], str]] = {
    "full-width": lambda text: "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in text),
    "mathematical digits": lambda text: re.sub(r"[0-9]", lambda digit: chr(0x1D7CE + int(digit[0])), text),
    "Arabic digits": lambda text: re.sub(r"[0-9]", lambda digit: chr(0x660 + int(digit[0])), text),
    "zero-width spaces": "\u200b".join,
    "soft hyphens": "\u00ad".join,
    "joiners": "\u2060".join,
    "struck out": lambda text: "".join(f"{letter}\u0336" for letter in text),
}


@pytest.mark.parametrize("disguise", DISGUISES)
@settings(max_examples=50)
@given(plants, any_text)
def test_no_disguise_that_a_reader_sees_through_hides_it(disguise: str, planted: tuple[str, str], after: str) -> None:
    kind, text = planted
    assert kind in kinds(f"It is {DISGUISES[disguise](text)} {after}")


@given(cards(), st.sampled_from(["\u200b", "\u200e", "\ufeff"]), st.text(digits, min_size=1, max_size=4))
def test_a_card_is_found_beside_digits_that_only_an_invisible_sign_parts_from_it(card: str, sign: str, more: str) -> None:
    assert "CREDIT_CARD" in kinds(f"{more}{sign}{card}{sign}{more}")


def example_numbers() -> list[tuple[str, str]]:
    """Every region's example numbers: international for all, national for the regions that the classifier is told by default."""
    examples = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE):
            number = phonenumbers.example_number_for_type(region, kind)
            if number is not None:
                examples.append((region, phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)))
                examples.append((region, phonenumbers.format_number(number, PhoneNumberFormat.E164)))
                if region in ("US", "GB", "DE"):
                    examples.append((region, phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)))
    return examples


EXAMPLES = example_numbers()


def test_every_regions_phone_numbers_are_found() -> None:
    assert len(EXAMPLES) > 900
    assert [written for written in EXAMPLES if "PHONE_NUMBER" not in kinds(f"Call {written[1]} today.")] == []
    assert [written for written in EXAMPLES if "PHONE_NUMBER" not in kinds(f"Es ist {written[1]}")] == []


@given(any_text, any_text, st.sampled_from(EXAMPLES))
def test_phone_numbers_are_found_in_any_text(before: str, after: str, example: tuple[str, str]) -> None:
    assert "PHONE_NUMBER" in kinds(f"{before}\n{example[1]}\n{after}")


@given(st.lists(any_text), st.sampled_from(DataClass))
def test_it_never_raises_and_never_goes_below_the_floor(turns: list[str], floor: DataClass) -> None:
    found = classifier(floor=floor).look_now([Message("user", turn) for turn in turns]).classification
    assert found.data_class >= floor
    assert (found.data_class is not DataClass.PUBLIC) >= bool(found.kinds)


@given(any_text, st.sampled_from([ValueError("x"), RecursionError(), MemoryError(), UnicodeDecodeError("utf-8", b"", 0, 1, "x")]))
def test_a_finder_that_fails_means_restricted(text: str, failure: Exception) -> None:
    def fail(_: str) -> Iterator[Finding]:
        raise failure

    found = classifier(lambda _: iter(()), fail).look_now([Message("user", text)]).classification
    assert (found.data_class, found.reasons) == (DataClass.RESTRICTED, ("classifier-failed",))


@given(st.text(digits, min_size=12, max_size=19))
def test_digits_that_fail_the_check_are_no_card(number: str) -> None:
    assume(luhn_digit(number[:-1]) != number[-1])
    assert "CREDIT_CARD" not in kinds(f"Order {number}.")
