"""Cuts a text into words as they are written: contractions and compounds apart, phrases that stand for one word as that word."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from agent.cache.reading.lexicon import ASKING, LEAD_INS, PHRASES, listed

_CHUNK = re.compile(r"\S+")
_OUTER = " \t.,;:!?()[]{}\"'\u2026"
_OPENING = "([{\"'"
_LEADING = ".:!?-"
_TRAILING = ".,;?\u2026"
_ENDS = (".", "?", "!", ":", ";")
_PLAIN_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_COMPOUND = re.compile(r"[^\W_]+(?:[-/&][^\W_]+)+")
_INITIALS = re.compile(r"(?:[A-Za-z]\.){2,}[A-Za-z]?")
_DEGREE = re.compile(r"[A-Za-z]\.[A-Za-z]{2,5}")
_EXACT = frozenset("/\\=()<>{}[]_|$~^*")
_AMOUNT = re.compile(r"[$€£₹]?\.?\d[\d.,]*[%°A-Za-zµ]*")
_SMALL_WORDS = "aAiIuU"
_SHORT_QUOTED = re.compile(r"'[^']{0,2}'(?=[.,;?!]*$)")
_WORD = re.compile(r"[^\W\d_]{2}")
_CONTRACTIONS = {"n't": "not", "'re": "are", "'ve": "have", "'ll": "will", "'d": "would", "'m": "am"}
_WHOLE = {
    "can't": "can not",
    "cannot": "can not",
    "won't": "will not",
    "shan't": "shall not",
    "dont": "do not",
    "doesnt": "does not",
    "cant": "can not",
}
_IS, _POLITE = listed("is_after"), listed("polite")
_SPLIT_VERBS, _PARTICLES = listed("split_verbs"), listed("particles")
_PHRASES_BEGIN = frozenset(phrase[0] for phrase in PHRASES)
_LONGEST_PHRASE = 4
_PARTICLE_WORDS = 4


@dataclass(frozen=True, slots=True)
class Token:
    """A word as it is written.

    Args:
        text: in small letters, or, where the case counts, as it is.
        written: as it is.
        begins: whether a sentence begins with it.
        pause: whether a comma or the end of a sentence comes after it.
        is_exact: whether it is code, a path or the like, of which every letter counts.
    """

    text: str
    written: str
    begins: bool = False
    pause: bool = False
    is_exact: bool = False


def read_tokens(text: str) -> list[Token]:
    """Returns a text's words, without what only leads to the question.

    Args:
        text: with straight quotation marks, and no code in it.
    """
    return _phrased(_led_in(list(_tokens(text))))


def _tokens(text: str) -> Iterator[Token]:
    begins = True
    for chunk, after in pairwise((*_CHUNK.findall(text), "")):
        written = _written(chunk, after)
        if not written:
            begins = begins or chunk.endswith(_ENDS)
            continue
        if _INITIALS.fullmatch(f"{written}.") or _DEGREE.fullmatch(written):
            written = written.replace(".", "")
        pause, ends = chunk.endswith((",", *_ENDS)), chunk.rstrip("\"')]*").endswith(_ENDS)
        pieces = [piece for piece in _pieces(written) if piece]  # of a bare n't, the word before it
        for number, piece in enumerate(pieces):
            is_exact = _is_exact(piece) or (len(pieces) == 1 and len(piece) == 1 and piece.isalpha() and piece not in _SMALL_WORDS)
            last = number == len(pieces) - 1
            yield Token(piece if is_exact else piece.casefold(), piece, begins and not number, pause and last, is_exact)
        begins = ends


def _written(chunk: str, after: str) -> str:
    """Returns a chunk without the marks around it that say nothing: those of .5, -x, :q!, x[], 'x' do, and of x? amid a sentence."""
    if short := _SHORT_QUOTED.match(chunk):
        return short[0]
    if chunk.endswith(("?", "!")) and after[:1].islower() and not _WORD.search(chunk):
        return chunk
    bare = chunk.lstrip(_OPENING)
    if bare[:1] in _LEADING and bare[1:2].isalnum():
        return bare.rstrip(_TRAILING + ")]}\"'")
    return chunk.rstrip(_TRAILING) if "[]" in chunk or "{}" in chunk else chunk.strip(_OUTER)


def _is_exact(piece: str) -> bool:
    """Whether every letter of a piece counts, in its case: of code, of a path, of +x."""
    return not _AMOUNT.fullmatch(piece) and (not _EXACT.isdisjoint(piece) or not piece[0].isalnum())


def _pieces(written: str) -> Iterator[str]:
    """Yields the words of a chunk: contractions whole, compounds apart."""
    small = written.casefold()
    if small in _WHOLE:
        yield from _WHOLE[small].split()
    elif written.isalpha():
        yield written
    elif "'" in written and _PLAIN_WORD.fullmatch(written):
        yield from _uncontracted(written)
    elif _COMPOUND.fullmatch(written) and not re.sub("[-/]", "", written).isdigit() and written.count("/") < 2:
        yield from (piece for part in re.split(r"[-/&]", written) for piece in _pieces(part))
    else:
        yield written


def _uncontracted(written: str) -> Iterator[str]:
    for end, word in _CONTRACTIONS.items():
        if written.casefold().endswith(end):
            yield written[: -len(end)]
            yield word
            return
    if written.casefold().endswith("'s"):
        yield written[:-2]
        if written[:-2].casefold() in _IS:
            yield "us" if written[:-2].casefold() == "let" else "is"
        return
    yield written.rstrip("'")


def _led_in(tokens: list[Token]) -> list[Token]:
    """Takes away what only leads to a question, and the marks of politeness before it."""
    place = 0
    while place < len(tokens) and tokens[place].text in _POLITE:
        place += 1
    rest = tokens[place:]
    texts = [token.text for token in rest[:8]]
    for lead in LEAD_INS:
        if tuple(texts[: len(lead)]) == lead and len(rest) > len(lead) and rest[len(lead)].text in ASKING | {"if", "whether"}:
            rest = rest[len(lead) :]
            break
    return [replace(rest[0], begins=True), *rest[1:]] if rest else tokens


def _phrased(tokens: Sequence[Token]) -> list[Token]:
    """Puts one word for each phrase that stands for one, also where other words stand in it: turn the lamp off."""
    made: list[Token] = []
    place, taken = 0, set[int]()
    while place < len(tokens):
        token = tokens[place]
        length = _phrase_length(tokens, place)
        if place in taken:
            place += 1
        elif length and not token.is_exact:
            last = tokens[place + length - 1]
            word = PHRASES[tuple(t.text for t in tokens[place : place + length])]
            made.append(Token(word, word, token.begins, last.pause))
            place += length
        else:
            apart = _particle(tokens, place) if token.text in _SPLIT_VERBS else 0
            if apart:
                word = PHRASES[token.text, tokens[apart].text]
                token = Token(word, word, token.begins, token.pause)
                taken.add(apart)
            made.append(token)
            place += 1
    return made


def _phrase_length(tokens: Sequence[Token], place: int) -> int:
    if tokens[place].text not in _PHRASES_BEGIN:
        return 0
    texts = tuple(token.text for token in tokens[place : place + _LONGEST_PHRASE])
    return next((length for length in range(len(texts), 1, -1) if texts[:length] in PHRASES), 0)


def _particle(tokens: Sequence[Token], place: int) -> int:
    for there in range(place + 2, min(place + 1 + _PARTICLE_WORDS, len(tokens))):
        if tokens[there].text in _PARTICLES and (tokens[place].text, tokens[there].text) in PHRASES:
            return there
    return 0
