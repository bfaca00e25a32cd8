"""What redaction takes out, and what it calls it."""

import re
from collections.abc import Callable

import pytest

from contract.classification import Finding
from contract.errors import Reason
from contract.redaction import LAST_NUMBERS, Placeholder, Redacted, RedactionFailed, Vault, redact


def counting() -> Callable[[int], int]:
    """Draws 0, 1, 2, …"""
    drawn = iter(range(LAST_NUMBERS))
    return lambda most: next(drawn) % most


def found(text: str, *values: str, kind: str = "PERSON") -> list[Finding]:
    return [Finding(match.start(), match.end(), kind) for value in values for match in re.finditer(re.escape(value), text)]


def redacted(text: str, *values: str, known: Vault | None = None, kind: str = "PERSON") -> Redacted:
    return redact([text], [found(text, *values, kind=kind)], known or Vault(), counting())


def test_what_was_found_is_named_by_kind_and_number() -> None:
    assert redacted("Ada Lovelace asked.", "Ada Lovelace").texts == ("<PERSON_1> asked.",)


def test_one_thing_has_one_number_whatever_its_case_and_spacing_and_each_spelling_its_own_form() -> None:
    result = redacted("Ada Lovelace, ADA LOVELACE, Ada\nLovelace.", "Ada Lovelace", "ADA LOVELACE", "Ada\nLovelace")
    assert result.texts == ("<PERSON_1>, <PERSON_1b>, <PERSON_1c>.",)
    assert [item.value for item in result.sent] == ["Ada Lovelace", "ADA LOVELACE", "Ada\nLovelace"]


def test_a_part_of_a_persons_name_is_that_person() -> None:
    assert redacted("Ada Lovelace met Byron. Lovelace left.", "Ada Lovelace", "Byron", "Lovelace").texts == (
        "<PERSON_1> met <PERSON_2>. <PERSON_1b> left.",
    )


def test_a_part_of_two_persons_names_is_nobody_of_them() -> None:
    text = "Ada Byron, Anne Byron, Byron"
    assert redacted(text, "Ada Byron", "Anne Byron", "Byron").texts == ("<PERSON_1>, <PERSON_2>, <PERSON_3>",)


def test_two_persons_with_one_surname_are_not_joined_by_it() -> None:
    assert redacted("Byron, Ada Byron, Anne Byron", "Byron", "Ada Byron", "Anne Byron").texts == ("<PERSON_1>, <PERSON_1b>, <PERSON_2>",)


def test_what_is_found_in_one_message_is_taken_out_of_all() -> None:
    texts = ["Is ada lovelace in?", "Ada Lovelace is."]
    result = redact(texts, [[], found(texts[1], "Ada Lovelace")], Vault(), counting())
    assert result.texts == ("Is <PERSON_1b> in?", "<PERSON_1> is.")


def test_what_was_taken_out_of_an_earlier_turn_is_taken_out_again_under_its_name() -> None:
    first = redacted("Ada Lovelace asked.", "Ada Lovelace")
    later = redacted("What did Ada Lovelace say to Byron?", "Byron", known=first.vault)
    assert later.texts == ("What did <PERSON_1> say to <PERSON_2>?",)


def test_a_part_of_a_word_is_no_other_mention() -> None:
    assert redacted("Ann in Annapolis, Ann.", "Ann").texts[0].count("Annapolis") == 0  # found there, by a detector that said so
    text = "Ann. Annapolis."
    assert redact([text], [[Finding(0, 3, "PERSON")]], Vault(), counting()).texts == ("<PERSON_1>. Annapolis.",)


def test_findings_that_overlap_are_one_of_the_longer_ones_kind() -> None:
    text = "mail ada@example.org now"
    spans = [Finding(5, 8, "PERSON"), Finding(5, 20, "EMAIL_ADDRESS"), Finding(9, 24, "URL")]
    assert redact([text], [spans], Vault(), counting()).texts == ("mail <EMAIL_ADDRESS_1>",)


def test_white_space_at_the_edge_of_a_finding_stays() -> None:
    assert redact(["to  Ada  !"], [[Finding(2, 9, "PERSON")]], Vault(), counting()).texts == ("to  <PERSON_1>  !",)


def test_a_number_that_stands_in_the_text_already_is_given_to_nothing() -> None:
    result = redacted("<PERSON_1> is what Ada wrote, and person_2.", "Ada")
    assert result.texts == ("<PERSON_1> is what <PERSON_3> wrote, and person_2.",)
    assert result.literal == {"PERSON_1", "PERSON_2"}


def test_only_what_was_sent_is_told_as_sent() -> None:
    first = redacted("Ada asked.", "Ada")
    later = redacted("What does Byron say?", "Byron", known=first.vault)
    assert [item.value for item in later.sent] == ["Byron"]
    assert {item.value for item in later.vault.placeholders} == {"Ada", "Byron"}


def test_numbers_get_longer_where_there_are_many_values() -> None:
    names = [f"Name{chr(65 + first)}{chr(65 + second)}" for first in range(10) for second in range(20)]
    numbers = {item.number for item in redacted(" ".join(names), *names).sent}
    assert len(numbers) == len(names)


def test_a_finding_outside_of_the_text_stops_it() -> None:
    with pytest.raises(RedactionFailed) as caught:
        redact(["short"], [[Finding(2, 99, "PERSON")]], Vault(), counting())
    assert caught.value.reason is Reason.REDACTION_FAILED


def test_a_message_that_was_not_looked_through_stops_it() -> None:
    with pytest.raises(RedactionFailed):
        redact(["one", "two"], [[]], Vault(), counting())


def test_a_kind_that_no_placeholder_can_have_stops_it() -> None:
    with pytest.raises(RedactionFailed):
        redact(["Ada"], [[Finding(0, 3, "a>b")]], Vault(), counting())


def test_what_only_the_last_look_sees_stops_it() -> None:
    with pytest.raises(RedactionFailed):
        redacted("Straße 5, STRASSE 5", "Straße 5", kind="ADDRESS")  # in capitals it has other letters, and no pattern of ours


def test_no_message_of_a_failure_quotes_the_text() -> None:
    with pytest.raises(RedactionFailed) as caught:
        redacted("Straße 5, STRASSE 5", "Straße 5", kind="ADDRESS")
    assert "STRASSE" not in str(caught.value).upper().replace("ß", "SS")


def test_a_vault_is_read_as_it_was_written() -> None:
    vault = Vault((Placeholder("PERSON", 7, 1, 'Ada "the" Lovelace\n'), Placeholder("IBAN_CODE", 9, 0, "DE02")))
    assert Vault.from_json(vault.to_json()) == vault


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b'[["PERSON", 1, 0]]', b'[["person", 1, 0, "x"]]', b'[["PERSON", 0, 0, "x"]]', b'[["PERSON", 1, 26, "x"]]',
     b'[["PERSON", "1", 0, "x"]]', b'[["PERSON", 1, 0, ""]]', b'[["PERSON", 1, 0, 5]]'],
)  # fmt: skip
def test_what_is_no_vault_is_refused(content: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        Vault.from_json(content)
