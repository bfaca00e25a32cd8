"""A site's recognizers are read strictly, and none can make the search slow."""

import json
from typing import Any

import pytest

from contract.classification import KINDS
from contract.errors import InvalidRequest, Reason
from contract.recognizers import MOST_BYTES, MOST_NAMES, SitePattern, SiteRecognizers, read_recognizers, recognizers_from


def read(**value: Any) -> SiteRecognizers:
    return read_recognizers(json.dumps(value).encode())


def test_names_denied_words_and_patterns_are_read() -> None:
    given = read(names=["Halibut"], denied=["black formula"], patterns=[{"pattern": r"\bWO-\d{6}\b", "kind": "ACCOUNT_NUMBER"}])
    assert given == SiteRecognizers(("Halibut",), ("black formula",), (SitePattern(r"\bWO-\d{6}\b", "ACCOUNT_NUMBER"),))
    assert read() == SiteRecognizers()
    assert recognizers_from({"names": ["Halibut"]}).names == ("Halibut",)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_may_be_given(kind: str) -> None:
    assert SitePattern("abc", kind).kind == kind


@pytest.mark.parametrize("pattern", [r"WO-\d{6}", r"[A-Z]{2}\d{2,8}", r"colou?r", r"a.c", r"\[x\]", r"[^\s]{3}"])
def test_a_bounded_pattern_is_taken(pattern: str) -> None:
    assert SitePattern(pattern, "PERSON").pattern == pattern


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a*",
        "a+",
        "(a)",
        "(?=a)",
        "a|b",
        "^a",
        "a$",
        r"a\1",
        "a{1,65}",
        "a{3,2}",
        "a{1,}",
        "[z-a]",
        "[a",
        r"\d{0,31}\w{0,32}x",
        "a?",
        r"\b",
        "x" * 201,
    ],
)
def test_a_pattern_that_may_be_slow_or_match_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        SitePattern(pattern, "PERSON")
    assert refused.value.reason is Reason.FIELD_INVALID


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"\xff", b"[" * 100_000, b'{"names": "Halibut"}', b'{"names": [1]}', b'{"names": ["x"]}',
        b'{"patterns": [{"pattern": "abc"}]}',
        b'{"patterns": [{"pattern": "abc", "kind": "NONE"}]}', b" " * (MOST_BYTES + 1),
        json.dumps({"names": ["ab"] * (MOST_NAMES + 1)}).encode(), json.dumps({"denied": ["a" * 201]}).encode(),
    ],
    ids=lambda data: f"{len(data)} {data[:20]!r}",
)  # fmt: skip
def test_what_is_not_as_it_must_be_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_recognizers(data)
    assert refused.value.reason is Reason.FIELD_INVALID


def test_a_field_of_a_newer_version_is_told_apart() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(words=[])
    assert refused.value.reason is Reason.FIELD_UNKNOWN
