"""Says whether an answer to one question answers another one too, by rules that a reader can check. Pure, and the same both ways.

That two questions lie close together is not enough: to turn something on and to turn it off do, one year and the next, one town and
another. So every word that counts in one must have its counterpart in the other, in the same role. What the rules do not know, they refuse:
asking the model anew costs a second, a wrong answer from the cache costs trust.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum

from agent.cache.reading.asking import PRESENT
from agent.cache.reading.lexicon import FILLERS, QUANTIFIERS, are_opposite, canonical, listed
from agent.cache.reading.persons import PLACES, Persons
from agent.cache.reading.question import Question, Word, read_question

MOST_CHARACTERS = 1500
"""Longer texts are not compared: they say too much for rules like these."""


class Refusal(StrEnum):
    """Which rule has refused."""

    LONG = "long"
    LANGUAGE = "language"
    CODE = "code"
    QUOTED = "quoted"
    NUMBER = "number"
    TIME = "time"
    NAME = "name"
    NEGATION = "negation"
    OPPOSITE = "opposite"
    QUANTIFIER = "quantifier"
    QUESTION = "question"
    MODALITY = "modality"
    PERSON = "person"
    DIRECTION = "direction"
    FORM = "form"
    WORD = "word"
    ADDED = "added"


_Placed = tuple[int, Word]
_FILLERS = frozenset(map(canonical, FILLERS))
_OF = listed("of")
_COMPOUND_WORDS = 3
_SAME_CLAUSES = (frozenset(("if", "when")), frozenset(("if", "whether")))


def refusal(one: str, other: str) -> Refusal | None:
    """Returns why an answer to one question is none to the other; None: it is one.

    Args:
        one: a question.
        other: another one.
    """
    return Guard(one).refusal(other)


class Guard:
    """Holds questions whose answers are kept against one that is asked, which is read once.

    Args:
        asked: the question.
    """

    def __init__(self, asked: str) -> None:
        self._asked = read_question(asked) if len(asked) <= MOST_CHARACTERS else None

    def refusal(self, kept: str) -> Refusal | None:
        """Returns why an answer to another question is none to this one; None: it is one."""
        if self._asked is None or len(kept) > MOST_CHARACTERS:
            return Refusal.LONG
        question = read_question(kept)
        return next((reason for reason, differ in _RULES if differ(self._asked, question)), None)


def _quoted_differs(one: Question, other: Question) -> bool:
    return any(text not in other.folded for text in one.quoted) or any(text not in one.folded for text in other.quoted)


def _of_kind(*kinds: str) -> Callable[[Question, Question], bool]:
    def differ(one: Question, other: Question) -> bool:
        first, second = ({word.key for word in each.words if word.kind in kinds} for each in (one, other))
        return first != second

    return differ


def _name_differs(one: Question, other: Question) -> bool:
    return _lacks_name(one, other) or _lacks_name(other, one)


def _lacks_name(one: Question, other: Question) -> bool:
    known = other.all | {word.key for word in other.words}
    return any(word.kind in ("name", "literal") and word.key not in known for word in one.words)


def _left(one: Question, other: Question) -> tuple[list[Word], list[Word]]:
    """Returns the words of each that have no counterpart in the other."""
    return _unmatched(one, other), _unmatched(other, one)


def _unmatched(one: Question, other: Question) -> list[Word]:
    there = Counter(word.key for word in other.words)
    left = []
    for word in one.words:
        there[word.key] -= 1
        if there[word.key] < 0 and not _is_filler_name(word, other):
            left.append(word)
    return left


def _is_filler_name(word: Word, other: Question) -> bool:
    """Whether a small word with a capital stands in the other question too, as one that does not count there."""
    return word.kind == "name" and word.key in _FILLERS and word.key in other.all


def _opposite(one: Question, other: Question) -> bool:
    first, second = _left(one, other)
    return any(are_opposite(word.key, there.key) for word in first for there in second)


def _quantifier_differs(one: Question, other: Question) -> bool:
    """Whether one speaks of all, of some, of either, and the other does not."""
    first, second = _left(one, other)
    if "is" in one.asked and one.all & _SOME != other.all & _SOME:
        return True
    if one.joints != other.joints and "or" in (*one.joints, *other.joints):
        return True
    return any(word.key in QUANTIFIERS for word in (*first, *second))


_SOME = frozenset(map(canonical, ("some", "any")))


def _asks_else(one: Question, other: Question) -> bool:
    return (one.asked or ("what",)) != (other.asked or ("what",))


def _mood_differs(one: Question, other: Question) -> bool:
    return (one.modalities or _USUAL) != (other.modalities or _USUAL)


_USUAL = frozenset((PRESENT,))


def _person_differs(one: Question, other: Question) -> bool:
    if "way" in one.asked:
        return _persons_of_way(one) != _persons_of_way(other)
    return one.persons != other.persons


def _persons_of_way(question: Question) -> Persons:
    """Returns whom it speaks of; who asks for a way may be I, we or you, if it is not two of them."""
    askers = {_ASKERS[word.split()[0]] for clause in question.persons for word in clause if word and word.split()[0] in _ASKERS}
    if len(askers) > 1:
        return question.persons_besides
    clauses = (tuple(_as_asker(word) for word in clause if word not in _OWNED) for clause in question.persons_besides)
    return tuple(clause for clause in clauses if any(clause))


def _as_asker(word: str) -> str:
    person, *rest = word.split() or [""]
    return " ".join(("asker", *(part for part in rest if part not in PLACES))) if person in _ASKERS else word


_ASKERS = {
    **dict.fromkeys(("first", "first_object", "first_owner"), "first"),
    **dict.fromkeys(("we", "we_object", "we_owner"), "we"),
    **dict.fromkeys(("placed_second", "second_owner"), "second"),
}
_OWNED = {"first_owner", "second_owner"}


def _direction_differs(one: Question, other: Question) -> bool:
    """Whether a word has another role: what is denied, another of the prepositions that say where from and where to, or another place."""
    if one.negated != other.negated:
        return True
    first, second = _single(one.words), _single(other.words)
    if len(first) < len(one.words) and _in_order(one) != _in_order(other):
        return True
    shared = [key for key in first if key in second]
    placed, there = [first[key] for key in shared], [second[key] for key in shared]
    apart = [number for number, key in enumerate(shared) if _are_apart(first[key][1], second[key][1])]
    return not all(_is_of_compound(number, placed, there) for number in apart) or _is_moved(placed, there)


def _in_order(question: Question) -> list[tuple[str, str]]:
    """Returns its words and their roles: where one comes twice, nobody can tell which has moved."""
    return [(word.key, word.governor) for word in question.words]


def _single(words: Sequence[Word]) -> dict[str, tuple[int, Word]]:
    counts = Counter(word.key for word in words)
    return {word.key: (place, word) for place, word in enumerate(words) if counts[word.key] == 1}


def _are_apart(one: Word, other: Word) -> bool:
    """Whether a word has another role: in the table, on it, from it; if it is, because it is."""
    if one.clause != other.clause and frozenset((one.clause, other.clause)) not in _SAME_CLAUSES:
        return True
    return one.governor != other.governor and not (one.kind in ("number", "time") and {one.governor, other.governor} == _OF_OR_IN)


_OF_OR_IN = {"of", "in"}


def _is_of_compound(number: int, first: Sequence[_Placed], second: Sequence[_Placed]) -> bool:
    """Whether a word has another role because the compound that it is part of is written in another way."""
    return any(
        _is_compound(first[number], word, second[number], there) or _is_compound(second[number], there, first[number], word)
        for word, there in zip(first, second, strict=True)
    )


def _is_moved(first: Sequence[tuple[int, Word]], second: Sequence[tuple[int, Word]]) -> bool:
    """Whether two words have changed places, and may not."""
    return any(
        second[earlier][0] > second[later][0] and not _may_swap(first[earlier], first[later], second[earlier], second[later])
        for later in range(len(first))
        for earlier in range(later)
    )


def _may_swap(one: _Placed, other: _Placed, one_there: _Placed, other_there: _Placed) -> bool:
    """Whether two words may change places: an and joins them, one has the same role in both, or what was before is now of, for, in."""
    (_, first), (_, second), (_, first_there), (_, second_there) = one, other, one_there, other_there
    if "time" in (first.kind, second.kind) and first.kind != second.kind:
        return True
    if _are_joined(first, second) and _are_joined(first_there, second_there):
        return True
    if first.clause != second.clause and first.clause == first_there.clause and second.clause == second_there.clause:
        return True
    if first.governor != second.governor and (
        (first.governor and first.governor == first_there.governor) or (second.governor and second.governor == second_there.governor)
    ):
        return True
    return _is_compound(one, other, one_there, other_there) or _is_compound(other_there, one_there, other, one)


def _are_joined(one: Word, other: Word) -> bool:
    """Whether two words stand on two sides of an and: to open one and close another is not to close the one and open the other."""
    return one.group != 0 and one.group == other.group and one.side != other.side


def _is_compound(one: _Placed, other: _Placed, one_there: _Placed, other_there: _Placed) -> bool:
    """Whether `a beauty standard` has become `a standard of beauty`: one before the other, and then after it, under a preposition."""
    is_before = one[1].governor == other[1].governor and 0 < other[0] - one[0] <= _COMPOUND_WORDS
    is_after = one_there[1].governor in _OF and one_there[1].governor != other_there[1].governor
    return is_before and is_after and 0 < one_there[0] - other_there[0] <= _COMPOUND_WORDS


_APART = frozenset(map(frozenset, (("ing", "ed"), ("passive", "ing"), ("passive", "ed"), ("passive", ""))))


def _form_differs(one: Question, other: Question) -> bool:
    if one.spelt and other.spelt and one.spelt != other.spelt:
        return True
    forms = {word.key: word.ending for word in one.words}
    return any(frozenset((word.ending, forms.get(word.key, ""))) in _APART for word in other.words if word.key in forms)


def _word_differs(one: Question, other: Question) -> bool:
    return all(_left(one, other))


def _word_added(one: Question, other: Question) -> bool:
    return any(_left(one, other))


_RULES: tuple[tuple[Refusal, Callable[[Question, Question], bool]], ...] = (
    (Refusal.LANGUAGE, lambda one, other: one.scripts != other.scripts),
    (Refusal.CODE, lambda one, other: (one.code, one.formulas) != (other.code, other.formulas)),
    (Refusal.QUOTED, _quoted_differs),
    (Refusal.NUMBER, _of_kind("number")),
    (Refusal.TIME, _of_kind("time")),
    (Refusal.NAME, _name_differs),
    (Refusal.NEGATION, lambda one, other: len(one.negated) != len(other.negated)),
    (Refusal.OPPOSITE, _opposite),
    (Refusal.QUANTIFIER, _quantifier_differs),
    (Refusal.QUESTION, _asks_else),
    (Refusal.MODALITY, _mood_differs),
    (Refusal.PERSON, _person_differs),
    (Refusal.WORD, _word_differs),
    (Refusal.ADDED, _word_added),
    (Refusal.DIRECTION, _direction_differs),
    (Refusal.FORM, _form_differs),
)
