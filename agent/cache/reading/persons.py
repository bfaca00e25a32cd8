"""Whom a question speaks of, and who does what to whom; the clauses that it is made of."""

from collections.abc import Iterator, Sequence

from agent.cache.reading.lexicon import FILLERS, GOVERNORS, listed
from agent.cache.reading.tokens import Token

PERSONS = (
    *(f"{person}{role}" for person in ("first", "we", "he", "she", "they") for role in ("", "_object", "_owner")),
    *("second_owner", "it_owner", "placed_second", "placed_she", "placed_it", "placed_some"),
)
"""The lists of pronouns. Of those that are `placed`, it tells whether they stand before or after the first word that counts."""

PLACES = ("early", "late")
NEGATIONS = listed("negations")
_BOUNDS = listed("bounds")
_SMALL = FILLERS | NEGATIONS
_PERSONS = {word: person for person in PERSONS for word in listed(person)}

Persons = tuple[tuple[str, ...], ...]


def clauses(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Yields the clauses of a text: a conjunction begins one, a pause ends it."""
    clause = list[Token]()
    for token in tokens:
        if token.text in _BOUNDS or token.begins:
            yield clause
            clause = []
        clause.append(token)
        if token.pause:
            yield clause
            clause = []
    yield clause


def read_persons(tokens: Sequence[Token]) -> Persons:
    """Returns whom each clause speaks of, sorted: an if before them, and then the persons in their order."""
    return tuple(sorted(filter(None, map(_persons_in, clauses(tokens)))))


def _persons_in(clause: Sequence[Token]) -> tuple[str, ...]:
    first = next((place for place, token in enumerate(clause) if token.text not in _SMALL), len(clause))
    persons = [_person(clause, place, first) for place, token in enumerate(clause) if token.text in _PERSONS and token.written != "US"]
    return (clause[0].text if clause[0].text in ("if", "unless") else "", *persons) if persons else ()


def _person(clause: Sequence[Token], place: int, first: int) -> str:
    person = _PERSONS[clause[place].text]
    if person.endswith("_owner"):
        return person
    governor = clause[place - 1].text if place and clause[place - 1].text in GOVERNORS else ""
    where = PLACES[place > first] if person.startswith("placed") else ""
    return " ".join(filter(None, (person, where, governor)))
