"""Which ways of writing a placeholder are taken for one, and which are not."""

import pytest

from contract.redaction import Placeholder
from contract.restoring import Restorer, restore

ADA = Placeholder("PERSON", 37, 0, "Ada Lovelace")
ADA_SHORT = Placeholder("PERSON", 37, 1, "Ada")
MAIL = Placeholder("EMAIL_ADDRESS", 5, 0, "ada@example.org")
SENT = (ADA, ADA_SHORT, MAIL)


@pytest.mark.parametrize(
    ("written", "restored"),
    [
        ("<PERSON_37>", "Ada Lovelace"),
        ("<PERSON_37b>", "Ada"),
        ("<person_37>", "Ada Lovelace"),
        ("<Person_37B>", "Ada"),
        ("<PERSON_37>'s", "Ada Lovelace's"),
        ("**<PERSON_37>**", "**Ada Lovelace**"),
        ("_<PERSON_37>_", "_Ada Lovelace_"),
        ("`<PERSON_37>`", "`Ada Lovelace`"),
        ("\"<PERSON_37>\", '<PERSON_37b>'", "\"Ada Lovelace\", 'Ada'"),
        ("\\<PERSON\\_37\\>", "Ada Lovelace"),
        ("&lt;PERSON_37&gt;", "Ada Lovelace"),
        ("< PERSON_37 >", "Ada Lovelace"),
        ("<person 37>", "Ada Lovelace"),
        ("<email-address-5>", "ada@example.org"),
        ("<EMAIL\\_ADDRESS\\_5>", "ada@example.org"),
        ("PERSON_37 wrote", "Ada Lovelace wrote"),
        ("(person_37b)", "(Ada)"),
        ("<PERSON_37c>", "Ada Lovelace"),
        ("<<EMAIL_ADDRESS_5>>", "<ada@example.org>"),
        ("<PERSON_37", "<Ada Lovelace"),
        ("<PERSON_37><PERSON_37b>", "Ada LovelaceAda"),
    ],
)
def test_these_are_placeholders(written: str, restored: str) -> None:
    assert restore(written, SENT) == restored


@pytest.mark.parametrize(
    "text",
    ["a < b and b > c", "<strong>x</strong>", "person 37", "SALES_PERSON_37", "PERSON_370", "PERSON_37s are", "xPERSON_37", "&lt;", "\\",
     "<PERSON_", "<", "PERSON", "Personal", "email address 5", ""],
)  # fmt: skip
def test_these_are_not(text: str) -> None:
    restorer = Restorer(SENT)
    assert restorer.feed(text) + restorer.end() == text
    assert restorer.invented == ()


@pytest.mark.parametrize("text", ["<PERSON_38>", "<EMAIL_ADDRESS_37>", "<VISA_CARD_1>"])
def test_an_invented_placeholder_is_left_and_told(text: str) -> None:
    restorer = Restorer(SENT)
    assert restorer.feed(text) + restorer.end() == text
    assert restorer.invented == (text.strip("<>"),)


def test_an_invented_placeholder_is_told_where_nothing_was_taken_out() -> None:
    restorer = Restorer(())
    assert restorer.feed("Dear <PERSON_1>,") + restorer.end() == "Dear <PERSON_1>,"
    assert restorer.invented == ("PERSON_1",)


def test_what_somebody_wrote_there_is_nobodys_invention() -> None:
    restorer = Restorer(SENT, literal={"PERSON_1"})
    assert restorer.feed("<PERSON_1>") + restorer.end() == "<PERSON_1>"
    assert restorer.invented == ()


def test_text_that_cannot_become_a_placeholder_does_not_wait() -> None:
    assert Restorer(SENT).feed("Nothing here, but <") == "Nothing here, but "
    assert Restorer(SENT).feed("a < b, so") == "a < b, so"


def test_what_may_become_one_waits_no_longer_than_it_may() -> None:
    restorer = Restorer(SENT)
    assert restorer.feed("Dear Person") == "Dear "
    assert restorer.feed("nel,") == "Personnel,"
