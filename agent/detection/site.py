"""Finds what a site has asked for; see contract.recognizers."""

import re
from collections.abc import Iterator

from agent.detection.contact import Finder
from agent.detection.reading import read
from contract.classification import Finding
from contract.recognizers import SiteRecognizers

_WORD = re.compile(r"\w+")


def site_finder(recognizers: SiteRecognizers) -> Finder:
    """Returns a finder of a site's names, denied words and patterns."""
    names = {**_index(recognizers.names, "SITE_NAME"), **_index(recognizers.denied, "DENIED")}
    longest = max((len(words) for words in names), default=0)
    patterns = tuple((re.compile(item.pattern), item.kind) for item in recognizers.patterns)

    def find_sites(text: str) -> Iterator[Finding]:
        if longest:
            yield from _names(text, names, longest)
        for pattern, kind in patterns:
            for match in pattern.finditer(text):
                yield Finding(match.start(), match.end(), kind)

    return find_sites


def _index(names: tuple[str, ...], kind: str) -> dict[tuple[str, ...], str]:
    return {words: kind for name in names if (words := tuple(_WORD.findall(read(name).text.casefold())))}


def _names(text: str, names: dict[tuple[str, ...], str], longest: int) -> Iterator[Finding]:
    """Looks every run of words up, so that ten thousand names cost no more than one."""
    places = [(match.start(), match.end(), match.group().casefold()) for match in _WORD.finditer(text)]
    for first in range(len(places)):
        for last in range(first, min(first + longest, len(places))):
            kind = names.get(tuple(word for _, _, word in places[first : last + 1]))
            if kind:
                yield Finding(places[first][0], places[last][1], kind)
