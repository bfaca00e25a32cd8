"""A text as a person reads it, and where each of its characters was in the text as it was given."""

import re
import unicodedata
from dataclasses import dataclass

_UNUSUAL = re.compile(r"[^\t\n\r -~]")


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading of a text.

    Args:
        text: without width, style or accents, dashes as `-`.
        origins: where each of its characters was; empty where the text was plain already.
        length: of the text as it was given.
    """

    text: str
    origins: tuple[int, ...]
    length: int

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Returns the place in the text as it was given; what has vanished after its last character belongs to it."""
        if not self.origins or start >= end:
            return start, end
        return self.origins[start], self.origins[end] if end < len(self.origins) else self.length


def readings(text: str) -> tuple[Reading, ...]:
    """Returns the readings of a text: an invisible character may be nothing, where it was put into a word, or a space that parts two."""
    if not _UNUSUAL.search(text):
        return (Reading(text, (), len(text)),)
    joined, parted = read(text), read(text, " ")
    return (joined,) if joined.text == parted.text else (joined, parted)


def read(text: str, hidden: str = "") -> Reading:
    """Returns one reading.

    Args:
        text: any.
        hidden: what stands for an invisible character.
    """
    parts = [_plain_forms(character, hidden) for character in text]
    origins = tuple(place for place, part in enumerate(parts) for _ in part)
    return Reading("".join(parts), origins, len(text))


def _plain_forms(character: str, hidden: str) -> str:
    if character.isascii() and (character.isprintable() or character.isspace()):
        return character
    return "".join(_plain(part, hidden) for part in unicodedata.normalize("NFKD", character))


def _plain(character: str, hidden: str) -> str:
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Pd" or character == "\N{MINUS SIGN}":
        return "-"
    if category in ("Mn", "Me"):
        return ""
    if category in ("Cf", "Cs") or (category == "Cc" and not character.isspace()):
        return hidden
    return character
