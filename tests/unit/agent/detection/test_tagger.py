"""The tagger finds what has no form, in texts of any length, and leaves questions of general knowledge alone."""

import pytest

from agent.detection.tagger import OVERLAP_TOKENS, WINDOW_TOKENS, Tagger, windows


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return Tagger()


def found(tagger: Tagger, text: str) -> set[tuple[str, str]]:
    return {(text[finding.start : finding.end], finding.kind) for finding in tagger.find(text)}


@pytest.mark.parametrize(
    ("text", "value", "kind"),
    [
        ("Could you ask Ingrid Solheim to call me back?", "Ingrid Solheim", "PERSON"),
        ("could you ask ingrid solheim to call me back?", "ingrid solheim", "PERSON"),
        ("My neighbour is Portuguese.", "Portuguese", "NATIONALITY"),
        ("We moved to Bratislava last year.", "Bratislava", "LOCATION"),
    ],
)
def test_names_and_places_are_found_in_their_places(tagger: Tagger, text: str, value: str, kind: str) -> None:
    assert (value, kind) in found(tagger, text)


def test_an_address_is_covered_whole(tagger: Tagger) -> None:
    address = "48 Rosewood Crescent, Dunedin 9013"
    covered = {place for finding in tagger.find(f"Send it to {address}.") for place in range(finding.start, finding.end)}
    assert covered.issuperset(range(11, 11 + len("48 Rosewood Crescent")))


@pytest.mark.parametrize("text", ["", " \n", "Why is the sky blue?", "Sort the list 5, 3, 8 and 1.", "def add(a, b):\n    return a + b"])
def test_what_is_nobodys_is_left_alone(tagger: Tagger, text: str) -> None:
    assert found(tagger, text) == set()


def test_a_long_text_is_looked_through_to_its_end(tagger: Tagger) -> None:
    filler = "The pump in the hall is loud and the lamp is broken. " * 60
    text = f"{filler}Could you ask Ingrid Solheim to call me back? {filler}"
    assert ("Ingrid Solheim", "PERSON") in found(tagger, text)


@pytest.mark.parametrize("tokens", [1, WINDOW_TOKENS - 1, WINDOW_TOKENS, WINDOW_TOKENS + 1, 1000])
def test_windows_keep_every_token_once_and_with_its_neighbours(tokens: int) -> None:
    kept: list[int] = []
    for start, end, keep_start, keep_end in windows(tokens):
        assert start <= keep_start <= keep_end <= end <= start + WINDOW_TOKENS
        assert keep_start == start == 0 or keep_start - start >= OVERLAP_TOKENS // 2
        assert keep_end == end == tokens or end - keep_end >= OVERLAP_TOKENS // 2
        kept += range(keep_start, keep_end)
    assert kept == list(range(tokens))
