"""Filters: what is written is what is read, and nothing that is read does harm."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import InvalidRequest
from hub.fleet.filters import EVERY, All, Any, Filter, Is, Not, fields_of, needed_of, parse

FIELDS = st.sampled_from(["name", "state", "connected", "labels.site", "labels.a_b-c.d"])
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TERMS: st.SearchStrategy[Filter] = st.recursive(
    st.builds(Is, FIELDS, st.none() | VALUES),
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(All, st.lists(inner, min_size=2, max_size=3).map(tuple))
        | st.builds(Any, st.lists(inner, min_size=2, max_size=3).map(tuple))
    ),
    max_leaves=8,
)


def written(term: Filter) -> str:
    """The filter as an operator writes it, with every parenthesis."""
    if isinstance(term, Is):
        return f"{term.field}:*" if term.value is None else f"{term.field} = {json.dumps(term.value)}"
    if isinstance(term, Not):
        return f"NOT ({written(term.term)})"
    return (" AND " if isinstance(term, All) else " OR ").join(f"({written(inner)})" for inner in term.terms)


@given(TERMS, st.dictionaries(FIELDS, VALUES))
@settings(max_examples=300)
def test_what_does_not_have_what_is_needed_does_not_match(term: Filter, fields: dict[str, str]) -> None:
    needed = needed_of(term)
    assert needed is None or needed in fields.items() or not term.matches(fields)


@given(TERMS)
@settings(max_examples=150)
def test_what_is_written_is_what_is_read(term: Filter) -> None:
    assert parse(written(term)) == term


@given(st.text(st.sampled_from('abANDORT=!:()*"\\ .labels'), max_size=60) | st.text(max_size=60))
@settings(max_examples=300)
def test_any_text_is_read_or_refused_and_never_breaks(text: str) -> None:
    with suppress(InvalidRequest):
        parse(text)


@given(TERMS, st.dictionaries(FIELDS, VALUES))
@settings(max_examples=150)
def test_not_is_the_opposite_and_only_the_named_fields_matter(term: Filter, fields: dict[str, str]) -> None:
    assert Not(term).matches(fields) is not term.matches(fields)
    assert term.matches({name: value for name, value in fields.items() if name in fields_of(term)}) is term.matches(fields)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("labels.site = oslo", True),
        ('labels.site="oslo" AND state = ACTIVE', True),
        ("labels.site != oslo", False),
        ("labels.line != 4", True),
        ("labels.line:*", False),
        ("labels.site:* AND NOT connected = true", True),
        ("state = RETIRED AND labels.site = bergen OR labels.site = oslo", True),
        ("state = RETIRED AND (labels.site = bergen OR labels.site = oslo)", False),
        ("NOT NOT name = agents/plant-7", True),
    ],
)
def test_filters_of_operators(text: str, *, matches: bool) -> None:
    assert parse(text).matches({"name": "agents/plant-7", "state": "ACTIVE", "connected": "false", "labels.site": "oslo"}) is matches


@pytest.mark.parametrize(
    "text", ["state", "state = ", "= ACTIVE", "colour = red", "labels. = x", "(state = A", "state = A)", "state = A state = B"]
)
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="filter cannot be read"):
        parse(text)


def test_no_filter_exhausts_the_stack() -> None:
    with pytest.raises(InvalidRequest, match="nested"):
        parse("(" * 1000 + "state = A")
    with pytest.raises(InvalidRequest, match="characters"):
        parse("NOT " * 1000 + "state = A")


def test_no_filter_is_every_agent() -> None:
    assert parse(" ") == EVERY
    assert not fields_of(EVERY)
