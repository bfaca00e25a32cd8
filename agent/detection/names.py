"""Finds names by their marks: the forms of address before one, the legal form behind one. Linear in the text."""

import re
from collections.abc import Iterator

from contract.classification import Finding

_TITLE = re.compile(
    r"\b(?:(?:Mr|Mrs|Ms|Mx|Dr|Prof|Rev|Hon|Sr|Sra|Srta|Mme|Mlle|Dott|Ing|Dipl)\b\.?|(?:Miss|Professor|Doctor|Herr|Frau|Monsieur|Madame|Señora?|Signora?|Pan|Pani|Fru)\b)"
    r"(?=\s{1,2}(?:(?:and|und|&)\s)?[^\W\d_a-z])"
)
_FIRM = re.compile(
    r"\b[A-Z0-9][\w&'.-]{0,30},?(?:\s(?:[A-Z0-9][\w&'.-]{0,30},?|and|und|&|y|et|de)){0,4}\s"
    r"(?:(?:Inc|Ltd|Corp|Co|Pty|Bhd)\b\.?|(?:LLC|LLP|PLC|plc|GmbH|AG|KG|SE|SA|SAS|SARL|AB|AS|ASA|ApS|Oy|Oyj|NV|BV|Srl|SpA|Kft|Zrt)\b|S\.A\.|S\.L\.|S\.p\.A\.|S\.r\.l\.|B\.V\.|N\.V\."
    r"|A/S|Sp\.\sz\s?o\.o\.|s\.r\.o\.|d\.o\.o\.|e\.V\.)"
)


def find_titles(text: str) -> Iterator[Finding]:
    """Finds "Mr." and its like, of several languages, where a name follows."""
    for match in _TITLE.finditer(text):
        yield Finding(match.start(), match.end(), "TITLE")


def find_firms(text: str) -> Iterator[Finding]:
    """Finds companies by their legal form."""
    for match in _FIRM.finditer(text):
        if not match.group().isupper():  # in capitals, AS and SE are words
            yield Finding(match.start(), match.end(), "ORGANIZATION")
