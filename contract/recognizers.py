r"""What a site wants found besides what the agent knows: names, patterns, words that never leave. Comes as data, and can only add.

A pattern is a small part of a regular expression, so that none can make the search slow: characters, `.`, classes, `\d \s \w \b`, each with
`?`, `{n}` or `{m,n}` behind it; no groups, no alternatives, nothing unbounded, and at most 1,000 ways to choose the counts of one pattern.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contract.classification import KINDS
from contract.errors import InvalidRequest, Reason

MOST_BYTES = 1_000_000
MOST_NAMES = 10_000
MOST_PATTERNS = 100
LONGEST_CHARACTERS = 200

_MOST_WAYS = 1000
_MOST_REPEATS = 64
_ATOM = re.compile(
    r"(?P<plain>[^\\\[\](){}|*+?^$]|\\[dswb.\\\[\](){}|*+?^$/-]|\[\^?(?:[^\\\[\]^-]|\\[dsw\\\[\]^-]|[^\\\[\]^-]-[^\\\[\]^-])+\])"
    r"(?:\{(?P<least>\d{1,2})(?:,(?P<most>\d{1,2}))?\}|(?P<maybe>\?))?"
)
_FIELDS = frozenset(("names", "denied", "patterns"))


@dataclass(frozen=True, slots=True)
class SitePattern:
    """A pattern, and the kind of what it finds: one of contract.classification.KINDS."""

    pattern: str
    kind: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise _invalid(f"kind {self.kind[:40]!r} is none of {', '.join(sorted(KINDS))}")
        _check_pattern(self.pattern)


@dataclass(frozen=True, slots=True)
class SiteRecognizers:
    """What a site wants found.

    Args:
        names: of people, projects, customers: confidential wherever they stand as words of their own, capitals or not.
        denied: words that make a prompt restricted.
        patterns: for numbers and codes of the site's own.

    Raises:
        InvalidRequest: FIELD_INVALID, with what to change.
    """

    names: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    patterns: tuple[SitePattern, ...] = field(default=())

    def __post_init__(self) -> None:
        if len(self.names) > MOST_NAMES or len(self.denied) > MOST_NAMES or len(self.patterns) > MOST_PATTERNS:
            raise _invalid(f"at most {MOST_NAMES} names, {MOST_NAMES} denied words and {MOST_PATTERNS} patterns are taken")
        for name in (*self.names, *self.denied):
            if not 2 <= len(name.strip()) <= LONGEST_CHARACTERS:
                raise _invalid(f"a name or denied word has 2 to {LONGEST_CHARACTERS} characters")


def read_recognizers(data: bytes) -> SiteRecognizers:
    """Reads recognizers from JSON: `{"names": ["…"], "denied": ["…"], "patterns": [{"pattern": "…", "kind": "…"}]}`.

    Raises:
        InvalidRequest: FIELD_INVALID; FIELD_UNKNOWN, a newer version may know the field.
    """
    if len(data) > MOST_BYTES:
        raise _invalid(f"the file has more than {MOST_BYTES} bytes")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _invalid("the file is no JSON in UTF-8") from error
    if not isinstance(value, dict):
        raise _invalid("the file holds no JSON object")
    return recognizers_from(value)


def recognizers_from(value: Mapping[str, Any]) -> SiteRecognizers:
    """Returns the recognizers that a parsed JSON or TOML object describes; see read_recognizers."""
    if unknown := sorted(set(value) - _FIELDS):
        raise InvalidRequest(
            Reason.FIELD_UNKNOWN, f"The site's recognizers are refused: {unknown[0][:40]!r} is none of {', '.join(sorted(_FIELDS))}."
        )
    return SiteRecognizers(_texts(value, "names"), _texts(value, "denied"), tuple(_pattern(item) for item in _list(value, "patterns")))


def _texts(value: Mapping[str, Any], name: str) -> tuple[str, ...]:
    texts = tuple(_list(value, name))
    if not all(isinstance(text, str) for text in texts):
        raise _invalid(f"{name} is a list of texts")
    return texts


def _list(value: Mapping[str, Any], name: str) -> list[Any]:
    items = value.get(name, [])
    if not isinstance(items, list):
        raise _invalid(f"{name} is a list")
    return items


def _pattern(item: object) -> SitePattern:
    if not isinstance(item, dict) or set(item) != {"pattern", "kind"} or not all(isinstance(part, str) for part in item.values()):
        raise _invalid('each of patterns is {"pattern": "…", "kind": "…"}')
    return SitePattern(item["pattern"], item["kind"])


def _check_pattern(pattern: str) -> None:
    if not 1 <= len(pattern) <= LONGEST_CHARACTERS:
        raise _invalid(f"a pattern has 1 to {LONGEST_CHARACTERS} characters")
    ways, least, place = 1, 0, 0
    while place < len(pattern):
        atom = _ATOM.match(pattern, place)
        if atom is None:
            raise _invalid(f"pattern {pattern!r}: character {place + 1} is not among what a pattern may hold")
        fewest, most = _counts(atom)
        ways *= most - fewest + 1
        least += fewest if atom["plain"] != r"\b" else 0
        place = atom.end()
    if ways > _MOST_WAYS or not least:
        raise _invalid(
            f"pattern {pattern!r} must match one character at least, and leave no more than {_MOST_WAYS} ways to choose its counts"
        )
    try:
        re.compile(pattern)
    except re.error as error:
        raise _invalid(f"pattern {pattern!r}: {error}") from error


def _counts(atom: re.Match[str]) -> tuple[int, int]:
    if atom["maybe"]:
        return 0, 1
    if atom["least"] is None:
        return 1, 1
    least, most = int(atom["least"]), int(atom["most"] or atom["least"])
    if not least <= most <= _MOST_REPEATS:
        raise _invalid(f"a count in a pattern is at most {_MOST_REPEATS}, and its second figure no less than its first")
    return least, most


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.FIELD_INVALID, f"The site's recognizers are refused: {why}.")
