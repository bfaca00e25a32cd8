"""Places are places of the text, whatever it is, and no text makes a finder slow."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.detection.contact import Finder
from agent.detection.detector import find_all, pattern_finders, places
from contract.classification import KINDS

FINDERS = pattern_finders()

any_text = st.text(st.characters(), max_size=80) | st.text("0123 4-/.+()@:xA=\u200b\u0301\ufb01\n", max_size=80)

REPEATED = [
    "a", "1", " ", "1-", "a.", "a:", "://", "password ", "password is ", "-----BEGIN PRIVATE KEY-----", "a1B", "=", "user a:", "account ",
    "A1 ",
    "rue de la ", "12 A B C D ", "(1", "+1 ", "use a", "x.y.", "http://a:", "eyJa.", "plate A1 ", "1 Jan ", "in 1999 ", "a at b ",
    "seed phrase is a b ",
    "::", "00:", "password for a ", "DE12 ", "password \"", "\u200b1", "e\u0301",
]  # fmt: skip
LONG_CHARACTERS = 20_000
"""A finder that took the square of this would take minutes: pytest's time limit ends the test."""


@given(any_text)
def test_findings_are_of_known_kinds_and_in_the_text(text: str) -> None:
    for finding in find_all(text, FINDERS):
        assert 0 <= finding.start < finding.end <= len(text)
        assert finding.kind in KINDS


@given(any_text)
def test_places_are_in_order_apart_and_cover_every_finding(text: str) -> None:
    found = find_all(text, FINDERS)
    covered = places(text, found)
    assert all(one.end <= other.start for one, other in pairwise(covered))
    for finding in found:
        assert any(place.start <= finding.start and finding.end <= place.end for place in covered)


@pytest.mark.parametrize("seed", REPEATED)
@pytest.mark.timeout(30)
def test_no_text_makes_a_finder_slow(seed: str) -> None:
    text = (seed * LONG_CHARACTERS)[:LONG_CHARACTERS]
    assert all(finding.end <= len(text) for finding in find_all(text, FINDERS))


@pytest.mark.parametrize("find", FINDERS, ids=lambda find: find.__name__)
def test_nothing_is_found_in_nothing(find: Finder) -> None:
    assert list(find("")) == []
