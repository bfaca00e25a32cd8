"""Places in a reading are told in the text as it was given."""

import pytest

from agent.detection.detector import find_all, places
from agent.detection.numbers import find_cards
from agent.detection.reading import read, readings

CARD = "4111111111111111"
WIDE = "".join(chr(ord(digit) + 0xFEE0) for digit in CARD)


@pytest.mark.parametrize(
    "written",
    [CARD, WIDE, "\u200b".join(CARD), "".join(f"{digit}\u0336" for digit in CARD), "4111\u00ad1111 1111\u20111111", "\u0664" + CARD[1:]],
)
@pytest.mark.parametrize(("before", "after"), [("", ""), ("Zoë\u2019s ½ ", " it is"), ("\u200b\ufb01 ", "\n\u00e9")])
def test_a_disguised_number_is_found_exactly_where_it_stands(before: str, written: str, after: str) -> None:
    text = before + written + after
    (found,) = places(text, find_all(text, [find_cards]))
    assert text[found.start : found.end] == written


def test_a_plain_text_is_its_own_reading() -> None:
    (reading,) = readings("plain\ttext\n")
    assert reading.text == "plain\ttext\n"
    assert reading.original(2, 5) == (2, 5)


def test_what_becomes_several_characters_is_covered_whole() -> None:
    reading = read("x\ufb01y")
    assert reading.text == "xfiy"
    assert reading.original(2, 4) == (1, 3)


def test_marks_that_vanish_belong_to_the_letter_before() -> None:
    text = "Jose\u0301 ok"
    assert read(text).original(0, 4) == (0, 5)
