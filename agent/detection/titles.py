"""Finds the forms of address before a name. Linear in the text."""

import re
from collections.abc import Iterator

from contract.classification import Finding

_TITLE = re.compile(
    r"\b(?:(?:Mr|Mrs|Ms|Mx|Dr|Prof|Rev|Hon|Sr|Sra|Srta|Mme|Mlle|Dott|Ing|Dipl)\b\.?|(?:Miss|Professor|Doctor|Herr|Frau|Monsieur|Madame|Señora?|Signora?|Pan|Pani|Fru)\b)"
    r"(?=\s{1,2}[^\W\d_a-z])"
)


def find_titles(text: str) -> Iterator[Finding]:
    """Finds "Mr." and its like, of several languages, where a name follows."""
    for match in _TITLE.finditer(text):
        yield Finding(match.start(), match.end(), "TITLE")
