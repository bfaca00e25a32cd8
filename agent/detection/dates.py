"""Finds dates, dates of birth and ages, as several languages write them. Linear in the text."""

import re
from collections.abc import Iterator

from contract.classification import Finding

_MONTHS = (
    r"(?:jan(?:uary|uar|vier)?|feb(?:ruary|ruar)?|mar(?:ch|zo|s)?|marz|apr(?:il)?|may|mai|mayo|june?|juin|juni|july?|juli|aug(?:ust)?|sept?(?:ember)?"
    r"|o[ck]t(?:ober|obre)?|nov(?:ember|embre|iembre)?|de[cz](?:ember|embre|iembre)?|fevrier|avril|juillet|aout|septembre|enero|febrero|abril|junio|julio"
    r"|agosto|sep(?:tiembre)?|gennaio|febbraio|marzo|aprile|maggio|giugno|luglio|settembre|ottobre|dicembre|maart|mei|augustus)"
)
_YEAR = r"(?:1[89]|20)\d\d"
_CLOCK = r"(?:[T ,]{1,2}\d{1,2}:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:\s?[ap]\.?m\b\.?)?(?:Z|[+-]\d\d:?\d\d)?)?"
_DATE = re.compile(
    rf"(?<![\w./-])(?:{_YEAR}[-/.](?:0?[1-9]|1[0-2])[-/.](?:3[01]|[12]\d|0?[1-9]){_CLOCK}"
    rf"|(?:3[01]|[12]\d|0?[1-9])(?P<gap>[./-])(?:3[01]|[12]\d|0?[1-9])(?P=gap)(?:{_YEAR}|\d\d){_CLOCK}"
    rf"|(?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?(?:\.|\s+of|\s+de)?\s?-?{_MONTHS}\b\.?(?:(?:,|\s+de|-)?\s?-?(?:{_YEAR}|'?\d\d)\b)?"
    rf"|{_MONTHS}\.?\s(?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?\b(?:,?\s{_YEAR})?"
    rf"|{_MONTHS}\.?,?\s(?:of\s)?{_YEAR})(?![\w]|[/-]\d)",
    re.IGNORECASE,
)
_MAY = re.compile(r"(?:\d{1,2} )?may(?: \d{1,2})?")
"""A verb, more likely than a month."""
_WEEKDAY = re.compile(r"\b(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|(?:Mon|Diens|Donners|Frei|Sams|Sonn)tag|Mittwoch)s?\b")
_BARE_YEAR = re.compile(
    rf"\b(?:in|since|from|until|till|to|during|between|and|of|by|circa|year|born|after|before|around|early|late|spring|summer"
    rf"|autumn|fall|winter|seit|im jahr|en|depuis)\s+"
    rf"(?P<value>{_YEAR})(?![\w]|[.,/-]\d)(?:'?s\b)?|(?<=\()(?P<bracketed>{_YEAR})(?=\))",
    re.IGNORECASE,
)
_BORN = re.compile(
    r"\b(?:born|dob|d\.o\.b\.?|date of birth|birth ?date|birthday|geboren|geburtsdatum|ne[e]? le|date de naissance|nacid[oa]"
    r"|fecha de nacimiento|nat[oa] il|data di nascita"
    r"|data de nascimento|geboortedatum|urodzon[ya]|fodt|fodd)\b[^\n\d]{0,25}$",
    re.IGNORECASE,
)
_AGE = re.compile(
    r"(?<![\w.,-])(?P<years>1[01]\d|[1-9]?\d)(?:[ -]?(?:years?|yrs?|yr|months?|weeks?)[ -]?(?:old|of age)\b|[ -]?(?:y/?o|yo)\b"
    r"|[ -]?year-old\b|[ -]?jahre? alt\b|[ -]?ans\b|[ -]?anos\b)"
    r"|\b(?:aged?|age is|age of|age:|turned|turns|turning|im alter von|edad|i'?m|i am|he'?s|she'?s|(?:he|she) is)[\s:]+"
    r"(?P<told>1[01]\d|[1-9]\d)(?=\s?(?:[.,;:!?)\n]|$|and\b|years?\b|but\b|from\b))"
    r"|(?<=[,(] )(?P<aside>[1-9]\d)(?=,\s[a-z])|(?<![\w.,-])(?P<short>[1-9]\d)(?:M|F|yo)\b",
    re.IGNORECASE,
)
_BEFORE_CHARACTERS = 60


def find_dates(text: str) -> Iterator[Finding]:
    """Finds dates, days of the week and years; a date that is somebody's birth by the words before it."""
    for match in _DATE.finditer(text):
        if _MAY.fullmatch(match.group()):
            continue
        born = _BORN.search(text[max(0, match.start() - _BEFORE_CHARACTERS) : match.start()])
        yield Finding(match.start(), match.end(), "DATE_OF_BIRTH" if born else "DATE_TIME")
    for match in _WEEKDAY.finditer(text):
        yield Finding(match.start(), match.end(), "DATE_TIME")
    for match in _BARE_YEAR.finditer(text):
        yield Finding(*match.span("value" if match["value"] else "bracketed"), "DATE_TIME")


def find_ages(text: str) -> Iterator[Finding]:
    """Finds how old somebody is: the number alone, what stands beside it says nothing."""
    for match in _AGE.finditer(text):
        name = next(name for name in ("years", "told", "aside", "short") if match[name])
        yield Finding(*match.span(name), "AGE")
