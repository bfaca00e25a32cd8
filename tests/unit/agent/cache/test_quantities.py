"""Numbers, units, days and times are the same however they are written, and others where they are others."""

import pytest

from agent.cache.reading.quantities import Quantity, quantities_at


def key(text: str) -> list[str]:
    return [quantity.key for quantity in quantities_at(text.split(), 0)]


@pytest.mark.parametrize(
    "same",
    [
        ("5 km", "5000 m", "5,000 metres", "five kilometres"),
        ("1.5 hours", "90 minutes", "90 min", "5400 s"),
        ("25", "twenty five"),
        ("200 dollars", "$200", "two hundred dollars"),
        ("10k", "10,000", "ten thousand"),
        ("3 GB", "3GB", "3000 MB"),
        ("100 °C", "100 degrees Celsius", "100 C"),
        ("22:30", "10:30 pm", "10:30pm"),
        ("10 pm", "22:00", "10pm"),
        ("4th", "fourth"),
        ("II", "2"),
        ("March", "Mar"),
        ("Monday", "Mondays"),
    ],
)
def test_what_is_the_same_has_one_key(same: tuple[str, ...]) -> None:
    assert len({tuple(key(text)) for text in same}) == 1
    assert key(same[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [("5 km", "5 miles"), ("100 C", "100 F"), ("4th", "4"), ("$5", "€5"), ("10 am", "10 pm"), ("5 mg", "5 g"), ("1.5", "15"), ("-3", "3")],
)
def test_what_is_not_the_same_has_another(one: str, other: str) -> None:
    assert key(one) != key(other)


@pytest.mark.parametrize("text", ["may", "march", "Z5400", "v2", "a", "in", "I", "x", "፩", "..", "12:99", "--"])
def test_what_is_no_quantity_is_none(text: str) -> None:
    assert key(text) == []


def test_a_day_of_the_calendar_is_day_month_and_year_in_one_word() -> None:
    assert key("2024-10-03") == ["number 3", "month 10", "number 2024"]


def test_a_quantity_says_how_many_words_it_takes() -> None:
    words = ["two", "hundred", "dollars", "a", "week"]
    assert quantities_at(words, 0) == [Quantity("number 200 $", 3)]
