"""All that is found in one text, and where: patterns, what the site asks for, the tagger."""

import re
from collections.abc import Iterable, Iterator, Sequence

from agent.detection.addresses import find_addresses
from agent.detection.contact import Finder, find_coordinates, find_emails, find_hosts, phone_finder
from agent.detection.dates import find_ages, find_dates
from agent.detection.identities import find_identities, find_labelled
from agent.detection.names import find_firms, find_titles
from agent.detection.numbers import find_accounts, find_cards
from agent.detection.reading import readings
from agent.detection.secrets import find_secrets
from agent.detection.site import site_finder
from agent.detection.tagger import Tagger
from contract.classification import Finding, class_of
from contract.recognizers import SiteRecognizers

PHONE_REGIONS = ("US", "GB", "DE")
NOTHING_MORE = SiteRecognizers()

_GAP = re.compile(r"[ ,.;:#/>|&-]{0,4}")
_JOINED = frozenset(("PERSON", "STREET_ADDRESS", "ORGANIZATION", "LOCATION", "DATE_TIME", "TITLE", "PHONE_NUMBER"))


def pattern_finders(phone_regions: Sequence[str] = PHONE_REGIONS, site: SiteRecognizers = NOTHING_MORE) -> tuple[Finder, ...]:
    """Returns the finders that need no weights.

    Args:
        phone_regions: see phone_finder.
        site: what the site asks for.
    """
    return (
        find_secrets,
        find_cards,
        find_accounts,
        find_identities,
        find_labelled,
        find_emails,
        find_hosts,
        find_coordinates,
        phone_finder(phone_regions),
        find_dates,
        find_ages,
        find_addresses,
        find_titles,
        find_firms,
        site_finder(site),
    )


def shipped_finders(
    tagger: Tagger, phone_regions: Sequence[str] = PHONE_REGIONS, site: SiteRecognizers = NOTHING_MORE
) -> tuple[Finder, ...]:
    """Returns all of them; see pattern_finders."""
    return (*pattern_finders(phone_regions, site), tagger.find)


def find_all(text: str, finders: Iterable[Finder]) -> tuple[Finding, ...]:
    """Returns all that the finders find in a text, in order; findings may overlap, see places.

    Args:
        text: as it was given.
        finders: what looks at its readings.
    """
    found: set[Finding] = set()
    finders = tuple(finders)
    for reading in readings(text):
        for find in finders:
            for finding in find(reading.text):
                start, end = reading.original(finding.start, finding.end)
                if start < end:
                    found.add(Finding(start, end, finding.kind))
    return tuple(sorted(finding for finding in found if not _is_told_better(finding, found)))


def _is_told_better(finding: Finding, found: Iterable[Finding]) -> bool:
    """Whether a number that the tagger took for some account's is one that a pattern knows by its form."""
    return finding.kind == "ACCOUNT_NUMBER" and any(
        other.start <= finding.start and finding.end <= other.end and class_of(other.kind) > class_of(finding.kind) for other in found
    )


def places(text: str, found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Returns the places that findings cover, in order and apart from each other."""
    return tuple(_bridged(text, _apart(found)))


def _apart(found: Iterable[Finding]) -> list[Finding]:
    """Makes one finding of those that overlap, of the kind with the highest class, then of the longest one."""
    result: list[Finding] = []
    longest = 0
    for finding in sorted(found):
        if result and finding.start < result[-1].end:
            last = result[-1]
            rank = (class_of(finding.kind), finding.end - finding.start) > (class_of(last.kind), longest)
            longest = finding.end - finding.start if rank else longest
            result[-1] = Finding(last.start, max(last.end, finding.end), finding.kind if rank else last.kind)
        else:
            result.append(finding)
            longest = finding.end - finding.start
    return result


def _bridged(text: str, found: Sequence[Finding]) -> Iterator[Finding]:
    """Joins neighbours of a kind with nothing but a sign or two between them: an address is one place, a name with its initial too."""
    held: Finding | None = None
    for finding in found:
        if held is not None and held.kind == finding.kind and held.kind in _JOINED and _GAP.fullmatch(text, held.end, finding.start):
            held = Finding(held.start, finding.end, held.kind)
            continue
        if held is not None:
            yield held
        held = finding
    if held is not None:
        yield held
