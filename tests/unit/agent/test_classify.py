"""What is found in a prompt, what is not, and what is never told of it."""

import threading
from collections.abc import Iterator

import pytest
import structlog

from agent.classify import LONGEST_CHARACTERS, Looked
from agent.detection import reading
from agent.prompts import Message
from contract.classification import Classification, DataClass, Finding, class_of
from contract.recognizers import SiteRecognizers
from tests.fakes.classifier import classifier

CARD = "4111 1111 1111 1111"


def classify(text: str, **settings: object) -> Classification:
    return classifier(**settings).look_now([Message("user", text)]).classification  # type: ignore[arg-type] # varied by name


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"{CARD} 12/27 123", "CREDIT_CARD"),
        (f"I owe 25 {CARD}", "CREDIT_CARD"),
        ("I owe 25 1234567890123452", "CREDIT_CARD"),
        ("4111\n1111\n1111\n1111", "CREDIT_CARD"),
        ("1234 5678 9012 3452", "CREDIT_CARD"),
        ("card:378282246310005,", "CREDIT_CARD"),
        ("from CH12 to DE89 3704 0044 0532 0130 00", "IBAN_CODE"),
        ("MT84MALT011000012345MTLCAST001S.", "IBAN_CODE"),
        ("mail jo@example.com!", "EMAIL_ADDRESS"),
        ("123-45-6789", "US_SSN"),
        ("my SSN is 123456789", "US_SSN"),
        ("(555) 123-4567", "PHONE_NUMBER"),
        ("555.123.4567", "PHONE_NUMBER"),
        ("on 12/05/2024 020 7946 0958", "PHONE_NUMBER"),
        ("01 84 17 61 18", "PHONE_NUMBER"),
        ("call 467 3395", "PHONE_NUMBER"),
        ('{"password": "hunter2"}', "PASSWORD"),
        ("<password>hunter2</password>", "PASSWORD"),
        ("The password is: sesame", "PASSWORD"),
        ("password for the wifi is s3same", "PASSWORD"),
        ("redis://:s3same@cache:6379", "PASSWORD"),
        ("Authorization: Basic dXNlcjpzZXNhbWU=", "PASSWORD"),
        ("contraseña: sésamo", "PASSWORD"),
        ("PIN 4921", "PASSWORD"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "PASSWORD"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----", "PRIVATE_KEY"),
        ("DefaultEndpointsProtocol=https;AccountKey=" + "a" * 86 + "==", "API_KEY"),
    ],
)
def test_what_a_person_would_write_is_found(text: str, kind: str) -> None:
    found = classify(text)
    assert kind in found.kinds
    assert found.data_class >= max(class_of(kind), DataClass.CONFIDENTIAL)


@pytest.mark.parametrize(
    "text",
    [
        "How do I choose good password rules?",
        "Explain the token bucket, the secret of good bread and bearer bonds.",
        "How do I reset the password for GitHub?",
        "What is password-less login?",
        "In 1990, 1995, 2000 and 2005 sales were 12,345 and 67,890.",
        "Sort 5 3 8 1 9 2 7 4 6 0.",
        "The meeting on 2026-11-21 10:30:15 or 21.11.2026 ended.",
        "Pi is 3.14159265358979.",
        "Version 2.0.11 of commit e2b7263f00.",
        "Compute 1234 + 5678 * 1000000.",
        "A light year is 9460730472580800 metres.",
        "Pin the package to version 4.",
        "An e-mail address has an @ in it.",
        "The ISBN is 978-3-16-148410-0.",
    ],
)
def test_innocent_questions_are_public(text: str) -> None:
    assert classify(text) == Classification(DataClass.PUBLIC, (), ("nothing-found",))


def test_a_number_is_looked_for_across_turns() -> None:
    turns = [Message("user", "My card begins with 4111 1111"), Message("user", "1111 1111 and that is it")]
    assert classifier().look_now(turns).classification.kinds == ("CREDIT_CARD",)


def test_national_numbers_are_known_of_the_regions_that_are_named() -> None:
    danish = "Ring 32123456"
    assert classify("Jeg bor på 32123456", phone_regions=("DK",)).kinds == ("PHONE_NUMBER",)
    assert classify("Jeg bor på 32123456", phone_regions=()).kinds == ()
    assert classify(danish, phone_regions=()).kinds == ("PHONE_NUMBER",)
    assert classify("+45 32 12 34 56", phone_regions=()).kinds == ("PHONE_NUMBER",)


def test_a_longer_text_than_is_looked_through_is_restricted() -> None:
    assert classify("a" * LONGEST_CHARACTERS).data_class is DataClass.PUBLIC
    assert classify("a" * (LONGEST_CHARACTERS + 1)).data_class is DataClass.RESTRICTED


@pytest.mark.parametrize("floor", DataClass)
def test_the_sites_floor_holds(floor: DataClass) -> None:
    assert classify("What is rain?", floor=floor).data_class is floor
    assert classify(CARD, floor=floor).data_class is DataClass.RESTRICTED


def test_nothing_of_the_prompt_is_logged_when_a_finder_fails() -> None:
    def fail(text: str) -> Iterator[Finding]:
        raise ValueError(f"cannot read {text}")

    with structlog.testing.capture_logs() as logs:
        found = classifier(fail).look_now([Message("user", f"my card is {CARD}")]).classification
    assert (found.data_class, found.reasons) == (DataClass.RESTRICTED, ("classifier-failed",))
    assert [(entry["log_level"], entry["error"]) for entry in logs] == [("error", "ValueError")]
    assert "4111" not in str(logs)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("plain text,\n\tas it is", "plain text,\n\tas it is"),
        ("\uff14\uff11\uff11\uff11", "4111"),
        ("\u0664\u0661\u0661\u0661", "4111"),
        ("\u2463\u2460\u2460\u2460", "4111"),
        ("41\u200b11\u2011\u221211\ufeff", "4111--11"),
        ("josé", "jose"),
        ("a\0b\ud800c", "abc"),
        ("a\N{NO-BREAK SPACE}b", "a b"),
    ],
)
def test_a_text_is_read_as_a_person_sees_it(text: str, plain: str) -> None:
    assert reading.read(text).text == plain


def test_what_is_invisible_may_part_two_words() -> None:
    assert [one.text for one in reading.readings("a\u200bb")] == ["ab", "a b"]


def look(*texts: str, floors: tuple[DataClass, ...] = ()) -> Looked:
    return classifier().look_now([Message("user", text) for text in texts], *floors)


def test_every_message_has_its_own_places() -> None:
    looked = look("mail jo@example.com", "hello", f"card {CARD}!")
    assert looked.findings == ((Finding(5, 19, "EMAIL_ADDRESS"),), (), (Finding(5, 24, "CREDIT_CARD"),))
    assert looked.classification.kinds == ("CREDIT_CARD", "EMAIL_ADDRESS")


def test_a_number_over_two_turns_has_a_place_in_each() -> None:
    turns = ("My card begins with 4111 1111", "1111 1111 and that is it")
    first, second = look(*turns).findings
    assert [turns[0][place.start : place.end] for place in first] == ["4111 1111"]
    assert [turns[1][place.start : place.end] for place in second] == ["1111 1111"]


def test_a_number_over_three_turns_is_found() -> None:
    assert look("4111 1111", "1111", "1111").classification.kinds == ("CREDIT_CARD",)


@pytest.mark.parametrize("floor", DataClass)
def test_a_prompts_own_floors_only_raise(floor: DataClass) -> None:
    assert look("What is rain?", floors=(floor, DataClass.PUBLIC)).classification.data_class is floor
    assert look("mail jo@example.com", floors=(floor,)).classification.data_class is max(floor, DataClass.CONFIDENTIAL)


def test_a_companys_own_hosts_are_internal() -> None:
    assert look("Is 192.168.1.10 in 10.0.0.0/8?").classification == Classification(DataClass.INTERNAL, ("INTERNAL_HOST",), ("data-found",))


def test_what_a_site_asks_for_is_found() -> None:
    site = SiteRecognizers(names=("Halibut",), denied=("black formula",))
    assert classify("How is Halibut?", site=site).data_class is DataClass.CONFIDENTIAL
    assert classify("What is the black formula?", site=site).data_class is DataClass.RESTRICTED


async def test_it_looks_in_a_thread_of_its_own() -> None:
    threads: list[str] = []

    def find(_: str) -> Iterator[Finding]:
        threads.append(threading.current_thread().name)
        return iter(())

    one = classifier(find)
    await one.look([Message("user", "a"), Message("user", "b")])
    one.close()
    assert {name.split("_")[0] for name in threads} == {"detector"}
