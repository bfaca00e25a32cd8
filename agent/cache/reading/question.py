"""Reads a question into what the guard compares. Linear in the text."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from agent.cache.reading.asking import read_asked
from agent.cache.reading.formulas import read_formulas
from agent.cache.reading.lexicon import ASKING, FILLERS, GOVERNORS, canonical, ending, is_past, listed
from agent.cache.reading.persons import NEGATIONS, Persons, clauses, read_persons
from agent.cache.reading.quantities import quantities_at
from agent.cache.reading.tokens import Token, read_tokens

_STRAIGHT = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u00b4": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": " - ", "\u2212": "-"}
)
_RAISED = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u207b]+")
_CODE = re.compile(r"(`{1,3})(.+?)\1", re.DOTALL)
_QUOTED = re.compile(r'""?([^"\n]{1,300}?)""?')

_CLAUSES, _DETERMINERS, _JOINTS = listed("clauses"), listed("determiners"), listed("joints")
_PASSIVE, _ARTICLES, _AFTER_ARTICLE = listed("passive"), listed("articles"), listed("after_article")
_BEFORE_ONE, _AFTER_ONE, _OF_WORDS = listed("before_one"), listed("after_one"), listed("of_words")
_SHORTEST_NAME = 4
_MOST_SHOUTED_NAMES = 2
_LETTERED, _PARTITIVE = listed("lettered"), listed("partitive")
_MOST_JOINED = _PASSIVE_WORDS = 4


@dataclass(frozen=True, slots=True)
class Word:
    """What counts of a question, in its order.

    Args:
        key: the same for words that mean the same.
        kind: number, time, name, literal or word.
        ending: see lexicon.ending.
        governor: the preposition before it: what role it has.
        clause: the conjunction whose clause it stands in.
        group: of the words that and, or, vs join it with; 0: none.
        side: of that and on which it stands.
    """

    key: str
    kind: str = "word"
    ending: str = ""
    governor: str = ""
    clause: str = ""
    group: int = 0
    side: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """A question, read.

    Args:
        folded: its text in small letters, each run of white space one space.
        quoted: what stands between quotation marks, folded.
        code: what stands between backticks.
        words: what counts, in order.
        asked: what it asks for, sorted: what, what does, who, when, where, why, way, how, how many …, is (yes or no), is there; or nothing.
        modalities: of its questions: see PAST and the others.
        persons: whom each clause speaks of, in which roles; see persons.PERSONS.
        persons_besides: the same, without who asks for a way.
        formulas: what is reckoned, without spaces.
        negated: the words of each clause with a negation.
        joints: its and, or, in order.
        scripts: it is written in.
        spelt: every word that counts, as it is written, where it is spoken of words; else none.
        all: every word, fillers too.
    """

    folded: str
    quoted: frozenset[str]
    code: tuple[str, ...]
    words: tuple[Word, ...]
    asked: tuple[str, ...]
    modalities: frozenset[str]
    persons: Persons
    persons_besides: Persons
    formulas: tuple[str, ...]
    negated: tuple[frozenset[str], ...]
    joints: tuple[str, ...]
    scripts: frozenset[str]
    spelt: frozenset[str]
    all: frozenset[str] = field(repr=False)


def read_question(text: str) -> Question:
    """Reads a question."""
    raised = _RAISED.sub(lambda found: f"^{found[0]}", text)  # 10² is not 102
    text = unicodedata.normalize("NFKC", raised).translate(_STRAIGHT)
    code = tuple(found[2].strip() for found in _CODE.finditer(text))
    bare = _CODE.sub(" ", text)
    folded = " ".join(text.casefold().split())
    quoted = frozenset(" ".join(found[1].casefold().split()) for found in _QUOTED.finditer(bare))
    tokens = read_tokens(bare)
    asked, modalities, rest = read_asked(tokens)
    every = frozenset(canonical(token.text) for token in tokens)
    texts = frozenset(token.text for token in tokens)
    return Question(
        folded=folded,
        quoted=quoted,
        code=code,
        words=tuple(_words(rest)),
        asked=asked,
        modalities=modalities,
        persons=read_persons(tokens),
        persons_besides=read_persons(rest),
        formulas=tuple(read_formulas(bare)),
        negated=_negated(tokens),
        joints=tuple(token.text for token in tokens if token.text in ("and", "or")),
        scripts=_scripts(folded),
        spelt=texts - FILLERS - _OF_WORDS if texts & _OF_WORDS else frozenset[str](),
        all=every,
    )


def _negated(tokens: Sequence[Token]) -> tuple[frozenset[str], ...]:
    """Returns the words that count of each clause with a negation, once for each."""
    found = []
    for clause in clauses(tokens):
        counted = frozenset(canonical(token.text) for token in clause if token.text not in FILLERS and token.text not in NEGATIONS)
        found += [counted | _to_beside(clause, place) for place, token in enumerate(clause) if token.text in NEGATIONS]
    return tuple(sorted(found, key=sorted))


def _to_beside(clause: Sequence[Token], place: int) -> frozenset[str]:
    """Returns `to` where a negation stands beside it: illegal not to vote, not illegal to vote."""
    return frozenset(token.text for token in clause[max(0, place - 1) : place + 2] if token.text == "to")


def _words(tokens: Sequence[Token]) -> Iterator[Word]:
    written = [token.written for token in tokens]
    titled, groups, role = _is_titled(tokens), _groups(tokens), _Role()
    place = 0
    while place < len(tokens):
        token = tokens[place]
        quantities = [] if token.is_exact or _is_pronoun(tokens, place) else quantities_at(written, place)
        role = role if quantities or _is_partitive(tokens, place) else role.after(token)
        if quantities:
            for quantity in quantities:
                yield Word(
                    quantity.key, "time" if quantity.is_time else "number", "", role.governor, role.clause, *groups.get(place, (0, 0))
                )
        elif (kind := _kind_of(tokens, place, titled)) is not None:
            key = (
                token.written
                if token.is_exact or _is_symbol(tokens, place) or _is_element(token, kind) or _is_short_name(tokens, place, kind)
                else canonical(token.text)
            )
            yield Word(key, kind, _form(tokens, place), role.governor, role.clause, *groups.get(place, (0, 0)))
        place += max(1, sum(quantity.words for quantity in quantities))
        if tokens[place - 1].pause:
            role = _Role()


def _is_partitive(tokens: Sequence[Token], place: int) -> bool:
    """Whether an `of` says nothing: some of the, a kind of."""
    return tokens[place].text == "of" and place > 0 and tokens[place - 1].text in _PARTITIVE


@dataclass(frozen=True, slots=True)
class _Role:
    """The preposition and the conjunction that a word stands under."""

    governor: str = ""
    clause: str = ""

    def after(self, token: Token) -> "_Role":
        """Returns what holds for a word, and for those after it."""
        if token.text in ("if", "unless") or (token.text in _CLAUSES and not token.begins):
            return _Role("", token.text)
        if token.text in ("and", "or"):
            return self
        if token.text in GOVERNORS:
            return _Role(token.text, self.clause)
        counts = token.text not in FILLERS or token.text in _DETERMINERS or token.written == "US"
        return self if counts else _Role("", self.clause)


def _kind_of(tokens: Sequence[Token], place: int, titled: bool) -> str | None:
    """Returns the kind of a word that counts; None: it does not."""
    token = tokens[place]
    is_name = not titled and _is_name(token)
    if token.text in NEGATIONS:
        return None
    if token.text in FILLERS and not is_name and not _counts_here(tokens, place):
        return None
    if token.is_exact or not token.text.isalpha():
        return "literal"
    return "name" if is_name else "word"


def _is_symbol(tokens: Sequence[Token], place: int) -> bool:
    """Whether a word may be the symbol of a unit, whose case counts: 5 mF, 5MF."""
    token = tokens[place]
    if token.text[0].isdecimal():
        return canonical(token.text) == token.text
    before = tokens[place - 1] if place else None
    return before is not None and before.text[-1].isdecimal() and not before.pause and len(token.text) < _SHORTEST_NAME


def _is_short_name(tokens: Sequence[Token], place: int, kind: str) -> bool:
    """Whether a small word is a name by its capitals: the IT, the WHO."""
    token, before = tokens[place], tokens[place - 1].text if place else ""
    return kind == "name" and token.text in FILLERS and token.written.isupper() and token.written != "US" and before not in _LETTERED


def _is_element(token: Token, kind: str) -> bool:
    """Whether a name may be a chemical element's symbol: Co is not CO."""
    return kind == "name" and len(token.written) == len("Co") and token.written[1].islower()


def _counts_here(tokens: Sequence[Token], place: int) -> bool:
    """Whether a small word says something where it stands: at the end, after an article, as a verb of its own."""
    token, before = tokens[place], tokens[place - 1].text if place else ""
    if token.text in GOVERNORS or token.text == "there":
        return place + 1 == len(tokens) or token.pause or before == "does"
    if token.text in ("have", "has", "had", "having"):
        return not any(after.text == "been" or is_past(after.text) for after in tokens[place + 1 : place + _PASSIVE_WORDS])
    if token.text in ("do", "doing"):
        return before not in ASKING and place > 0
    if token.text in ("kind", "type", "sort") and (place + 1 == len(tokens) or tokens[place + 1].text != "of"):
        return True
    if token.text == "a":
        return before in _LETTERED
    return token.text not in _AFTER_ARTICLE and before in _ARTICLES


def _form(tokens: Sequence[Token], place: int) -> str:
    """Returns a word's ending; `passive` where something is done to what it is said of."""
    text = tokens[place].text
    before = {token.text for token in tokens[max(0, place - _PASSIVE_WORDS) : place]}
    return "passive" if is_past(text) and not before.isdisjoint(_PASSIVE) else ending(text)


def _is_pronoun(tokens: Sequence[Token], place: int) -> bool:
    """Whether `one` is no number here: which one, one should."""
    if tokens[place].text != "one":
        return False
    before = tokens[place - 1].text if place else ""
    after = tokens[place + 1].text if place + 1 < len(tokens) else ""
    return before in _BEFORE_ONE or after in _AFTER_ONE or after == "" or tokens[place].pause


def _is_titled(tokens: Sequence[Token]) -> bool:
    """Whether Every Word Has a Capital, so that capitals say nothing."""
    if len(tokens) > _MOST_SHOUTED_NAMES and all(token.written == token.written.upper() for token in tokens):
        return True
    words = [token for token in tokens if token.written[:1].isalpha() and token.text not in FILLERS]
    return len(words) > 3 and sum(token.written[0].isupper() for token in words) > 0.8 * len(words)


def _is_name(token: Token) -> bool:
    written = token.written
    return written[:1].isupper() and written != "I" and (not token.begins or (len(written) > 1 and written.isupper()))


def _groups(tokens: Sequence[Token]) -> dict[int, tuple[int, int]]:
    """Joins what stands on both sides of an and, an or, a vs: as many words as the shorter side has; says on which side each stands."""
    groups: dict[int, tuple[int, int]] = {}
    for place, token in enumerate(tokens):
        if token.text in _JOINTS:
            left, right = _run(tokens, place, -1), _run(tokens, place, 1)
            length = min(len(left), len(right))
            group = groups.get(left[0], (place, 0))[0] if length else place
            groups.update({there: (group, groups.get(there, (0, 0))[1]) for there in left[:length]})
            groups.update(dict.fromkeys(right[:length], (group, place)))
    return groups


def _run(tokens: Sequence[Token], place: int, step: int) -> list[int]:
    """Returns the places of the words that count from a place on, to the first that does not; articles are stepped over."""
    found: list[int] = []
    there = place + step
    while 0 <= there < len(tokens) and len(found) < _MOST_JOINED:
        text = tokens[there].text
        if text not in _DETERMINERS and text != "between":
            if text in FILLERS or text in GOVERNORS:
                break
            found.append(there)
        if (tokens[there].pause and step > 0) or (step < 0 and there and tokens[there - 1].pause):
            break
        there += step
    return found


def _scripts(text: str) -> frozenset[str]:
    """Returns the scripts of its letters, as Unicode's names of them begin."""
    return frozenset(unicodedata.name(letter, "?").split()[0] for letter in set(text) if letter.isalpha())
