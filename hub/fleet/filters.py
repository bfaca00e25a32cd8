"""Filters over agents: a part of AIP-160.

    expression = sequence, { "OR", sequence };    sequence = term, { "AND", term };
    term = [ "NOT" ], ( "(", expression, ")" | restriction );    restriction = field, ( ( "=" | "!=" ), value | ":", "*" );

AIP-160 lets OR bind tighter than AND; here, as in every programming language, AND binds tighter.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from contract.errors import InvalidRequest, Reason

MAX_CHARACTERS = 2000
MAX_DEPTH = 20
"""Of parentheses and NOTs, so that no filter exhausts the stack."""

LABEL_KEY = r"[a-z][a-z0-9_.-]{0,62}"
_FIELD = re.compile(rf"name|state|connected|certificate_issuer|labels\.{LABEL_KEY}")
_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|(!=|[=:()])|([^\s"=:()!]+))')

Fields = Mapping[str, str]
"""An agent as a filter sees it: `name`, `state`, `connected`, `certificate_issuer`, and `labels.KEY` for each label."""


@dataclass(frozen=True, slots=True)
class Is:
    """The field is there and has this value; None: any."""

    field: str
    value: str | None

    def matches(self, fields: Fields) -> bool:
        """Says whether an agent is meant."""
        found = fields.get(self.field)
        return found is not None and (self.value is None or found == self.value)


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite. `a != b` is this too: an agent without the label is not of that value."""

    term: "Filter"

    def matches(self, fields: Fields) -> bool:
        """Says whether an agent is meant."""
        return not self.term.matches(fields)


@dataclass(frozen=True, slots=True)
class All:
    """Every one holds. None: every agent."""

    terms: tuple["Filter", ...]

    def matches(self, fields: Fields) -> bool:
        """Says whether an agent is meant."""
        return all(term.matches(fields) for term in self.terms)


@dataclass(frozen=True, slots=True)
class Any:
    """One holds."""

    terms: tuple["Filter", ...]

    def matches(self, fields: Fields) -> bool:
        """Says whether an agent is meant."""
        return any(term.matches(fields) for term in self.terms)


Filter = Is | Not | All | Any

EVERY: Filter = All(())


@lru_cache(maxsize=256)
def parse(text: str) -> Filter:
    """Reads a filter. An empty one means every agent.

    Raises:
        InvalidRequest: FILTER_INVALID.
    """
    if not text.strip():
        return EVERY
    if len(text) > MAX_CHARACTERS:
        raise _invalid(f"it has more than {MAX_CHARACTERS} characters")
    parser = _Parser(_tokens(text))
    result = parser.expression(0)
    parser.expect_end()
    return result


def fields_of(filter_: Filter) -> frozenset[str]:
    """Returns the fields that a filter speaks of."""
    if isinstance(filter_, Is):
        return frozenset({filter_.field})
    terms = (filter_.term,) if isinstance(filter_, Not) else filter_.terms
    return frozenset().union(*(fields_of(term) for term in terms))


def needed_of(filter_: Filter) -> tuple[str, str] | None:
    """Returns a field and the value without which a filter does not hold; None: none is easily seen."""
    if isinstance(filter_, Is):
        return None if filter_.value is None else (filter_.field, filter_.value)
    if isinstance(filter_, All):
        return next((needed for term in filter_.terms if (needed := needed_of(term)) is not None), None)
    return None


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def expression(self, depth: int) -> Filter:
        terms = [self._sequence(depth)]
        while self._take("OR"):
            terms.append(self._sequence(depth))
        return terms[0] if len(terms) == 1 else Any(tuple(terms))

    def expect_end(self) -> None:
        if self._at < len(self._tokens):
            raise _invalid(f"{self._tokens[self._at][:40]} is not expected there")

    def _sequence(self, depth: int) -> Filter:
        terms = [self._term(depth)]
        while self._take("AND"):
            terms.append(self._term(depth))
        return terms[0] if len(terms) == 1 else All(tuple(terms))

    def _term(self, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise _invalid(f"it is nested more than {MAX_DEPTH} deep")
        if self._take("NOT"):
            return Not(self._term(depth + 1))
        if self._take("("):
            inner = self.expression(depth + 1)
            if not self._take(")"):
                raise _invalid("a ) is missing")
            return inner
        return self._restriction()

    def _restriction(self) -> Filter:
        field = self._next("a field")
        if not _FIELD.fullmatch(field):
            raise _invalid(f"{field[:40]} is no field: use name, state, connected or labels.KEY")
        operator = self._next("=, != or :")
        if operator == ":":
            if self._next("*") != "*":
                raise _invalid(f"write {field}:* for any value")
            return Is(field, None)
        if operator not in ("=", "!="):
            raise _invalid(f"{operator[:40]} is no operator: use =, != or :*")
        value = _value(self._next("a value"))
        return Is(field, value) if operator == "=" else Not(Is(field, value))

    def _take(self, token: str) -> bool:
        taken = self._at < len(self._tokens) and self._tokens[self._at] == token
        self._at += taken
        return taken

    def _next(self, what: str) -> str:
        if self._at == len(self._tokens):
            raise _invalid(f"it ends where {what} is expected")
        self._at += 1
        return self._tokens[self._at - 1]


def _tokens(text: str) -> list[str]:
    tokens, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise _invalid(f"it cannot be read from character {at + 1} on")
        tokens.append(match[0].strip())
        at = match.end()
    return tokens


def _value(token: str) -> str:
    """A word, or a string with quotes and JSON's escapes."""
    if token in ("=", "!=", ":", "(", ")"):
        raise _invalid(f"{token} stands where a value is expected")
    if not token.startswith('"'):
        return token
    try:
        return str(json.loads(token, strict=False))
    except ValueError as error:
        raise _invalid(f"{token[:40]} is no string") from error


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(
        Reason.FILTER_INVALID, f'The filter cannot be read: {why}. Write it as in: labels.site = "oslo" AND NOT state = SUSPENDED'
    )
