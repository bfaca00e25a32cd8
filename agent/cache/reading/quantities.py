"""Numbers with their units, days and times, however they are written: 5 km is 5,000 m, 10:30 pm is 22:30."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from agent.cache.reading.lexicon import lines, listed

WORDS, SCALES, ORDINALS, ROMAN = (
    {word: int(number) for word, number in map(str.split, lines(name))} for name in ("numbers", "scales", "ordinals", "roman")
)
_CALENDAR = {name: line.split()[0].replace("-", " ") for line in lines("calendar") for name in line.split()[1:]}
_AMBIGUOUS, _RELATIVE = listed("calendar_by_capital"), listed("relative_times")
_NO_UNITS = listed("no_units")
_KNOWN = frozenset((*WORDS, *ORDINALS, *_CALENDAR, *_RELATIVE))
_MOST_FOLLOWING = 5
_LONGEST_SYMBOL = 2


def _units() -> dict[str, tuple[str, Fraction]]:
    """Each unit's dimension, and how much of the dimension's first it is."""
    units: dict[str, tuple[str, Fraction]] = {}
    for line in lines("units"):
        dimension = line.split()[0]
        for entry in line.split(";"):
            *names, factor = entry.split()
            units |= {name: (dimension, Fraction(factor)) for name in names}
    return units


UNITS: Mapping[str, tuple[str, Fraction]] = _units()

_NUMBER = re.compile(r"([$€£₹]?)([+-]?(?:[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}|\d+)?(?:\.\d+|\d)?)(?:(st|nd|rd|th)|([%°A-Za-zµ][A-Za-z/°]*))?")
_CLOCK = re.compile(r"(\d{1,2})[:.h](\d{2})(?::\d{2})?([ap]m)?|(\d{1,2})([ap]m)")
_KEPT_AS_WRITTEN = re.compile(r"[+-]?0\d+|.*\.\d*0")
_ISO_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number, or a place in the calendar or the day.

    Args:
        key: the same for what is the same.
        words: how many words of the text it takes.
        is_time: whether it is a day or a time.
    """

    key: str
    words: int = 1
    is_time: bool = False


def quantities_at(words: Sequence[str], place: int) -> list[Quantity]:
    """Returns what the words from a place on say of numbers and times; nothing where they say nothing.

    Args:
        words: of a text, as they are written, without the marks around them.
        place: of the first.
    """
    word = words[place]
    small = word.lower()
    if small.isalpha() and word not in ROMAN and small.removesuffix("s") not in _KNOWN and small not in _KNOWN:
        return []
    if day := _ISO_DAY.fullmatch(word):
        year, month, number = map(int, day.groups())
        return [Quantity(f"number {number}", 1), Quantity(f"month {month}", 0, True), Quantity(f"number {year}", 0)]
    if clock := _clock(words, place):
        return [clock]
    if small.endswith("days") and small.removesuffix("s") in _CALENDAR:
        return [Quantity(_CALENDAR[small.removesuffix("s")], 1, True)]
    if small in _CALENDAR and (small not in _AMBIGUOUS or word[0].isupper()):
        return [Quantity(_CALENDAR[small], 1, True)]
    if small.removesuffix("s") in _RELATIVE:
        return [Quantity(f"time {small.removesuffix('s')}", 1, True)]
    if word in ROMAN:
        return [Quantity(f"number {ROMAN[word]}")]
    return _number(words, place)


def _clock(words: Sequence[str], place: int) -> Quantity | None:
    small = words[place].lower()
    after = words[place + 1].lower().replace(".", "") if place + 1 < len(words) else ""
    if small.isdecimal() and after in ("am", "pm") and int(small) <= 12:
        return _at(int(small), 0, after, 2)
    if not (found := _CLOCK.fullmatch(small)) or ("." in small and not found[3] and after not in ("am", "pm")):
        return None
    hour, minute, half = int(found[1] or found[4]), int(found[2] or 0), found[3] or found[5] or ""
    if hour > 24 or minute > 59:
        return None
    return _at(hour, minute, half or (after if after in ("am", "pm") else ""), 1 if half or after not in ("am", "pm") else 2)


def _at(hour: int, minute: int, half: str, words: int) -> Quantity:
    hour = hour % 12 + 12 * (half == "pm") if half else hour
    return Quantity(f"clock {hour}:{minute:02}", words, True)


def _number(words: Sequence[str], place: int) -> list[Quantity]:
    small = words[place].lower()
    if small in ORDINALS and not (small == "second" and place and words[place - 1].isdecimal()):
        return [Quantity(f"ordinal {ORDINALS[small]}")]
    if small in WORDS:
        return [_worded(words, place)]
    found = _NUMBER.fullmatch(words[place])
    if not found or not any(letter.isdecimal() for letter in found[2]):
        return []
    value = Fraction(found[2].replace(",", ""))
    if found[3]:
        return [Quantity(f"ordinal {value}")]
    unit = found[1] or found[4] or ""
    scale = SCALES.get(unit.lower())
    if unit and _unit(unit) is None and scale is None:
        return []
    quantity = _measured(value * (scale or 1), "" if scale else unit, words, place + 1, 1)
    # Python 3.10 is not 3.1, and agent 007 no seventh.
    return [replace(quantity, key=f"{quantity.key} as {found[2]}") if _KEPT_AS_WRITTEN.fullmatch(found[2]) else quantity]


def _unit(written: str) -> tuple[str, Fraction] | None:
    """Returns the dimension of a unit and how much of its first it is. The case of symbols counts, that of longer names does not."""
    return UNITS.get(written) or (UNITS.get(written.lower()) if len(written) > _LONGEST_SYMBOL else None)


def _worded(words: Sequence[str], place: int) -> Quantity:
    """Adds what is written in words: twenty five, two hundred."""
    value, end = WORDS[words[place].lower()], place + 1
    if value >= 20 and end < len(words) and 0 < WORDS.get(words[end].lower(), 0) < 10:
        value, end = value + WORDS[words[end].lower()], end + 1
    return _measured(Fraction(value), "", words, end, end - place)


def _measured(value: Fraction, unit: str, words: Sequence[str], place: int, taken: int) -> Quantity:
    """Takes scales and a unit that follow."""
    following = list(words[place : place + _MOST_FOLLOWING])
    while following and following[0].lower() in SCALES and not unit:
        value, taken = value * SCALES[following.pop(0).lower()], taken + 1
    if following and following[0].lower() in ("degree", "degrees"):
        following, taken = following[1:], taken + 1
    if not unit and following and following[0] not in _NO_UNITS and _unit(following[0]):
        unit, taken = following[0], taken + 1
    measured = _unit(unit)
    return Quantity(f"number {value}" if measured is None else f"number {value * measured[1]} {measured[0]}", taken)
