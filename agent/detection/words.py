"""Cuts a text into the pieces that the tagger reads: tokens, and the shape of each one's word, since the vocabulary has no capitals."""

from dataclasses import dataclass

from tokenizers import Tokenizer

SHAPES = 16
"""Eight shapes of a word, each at the beginning of a line or in it."""

_SMALL, _CAPITALISED, _CAPITALS, _MIXED, _DIGITS, _DIGITS_AND_LETTERS, _SINGLE_CAPITAL, _SIGN = range(8)
_LINE_BEGINS = 8


@dataclass(frozen=True, slots=True)
class Words:
    """A text in the tagger's pieces, without the marks at both ends.

    Args:
        ids: of the tokens.
        shapes: of the word of each token.
        spans: of each word: where it begins and ends in the text.
        word_of: each token's word, as a place in spans.
    """

    ids: tuple[int, ...]
    shapes: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    word_of: tuple[int, ...]


def cut(tokenizer: Tokenizer, text: str) -> Words:
    """Cuts a text.

    Args:
        tokenizer: MiniLM's.
        text: any.
    """
    encoding = tokenizer.encode(text, add_special_tokens=False)
    spans: list[tuple[int, int]] = []
    word_of: list[int] = []
    words: list[int | None] = encoding.word_ids
    last: int | None = None
    for (start, end), word in zip(encoding.offsets, words, strict=True):
        if word != last or not spans:
            spans.append((start, end))
            last = word
        else:
            spans[-1] = (spans[-1][0], end)
        word_of.append(len(spans) - 1)
    shapes = [_shape(text, start, end) for start, end in spans]
    return Words(tuple(encoding.ids), tuple(shapes[word] for word in word_of), tuple(spans), tuple(word_of))


def _shape(text: str, start: int, end: int) -> int:
    return (_LINE_BEGINS if _begins_line(text, start) else 0) + _form(text[start:end])


def _begins_line(text: str, start: int) -> bool:
    """Whether nothing but blanks and the marks of lists and quotations stands before it."""
    while start and text[start - 1] in " \t>-#*|":
        start -= 1
    return not start or text[start - 1] == "\n"


def _form(word: str) -> int:
    if word.isdigit():
        return _DIGITS
    if word.isalpha():
        if word.islower():
            return _SMALL
        if word.isupper():
            return _CAPITALS if len(word) > 1 else _SINGLE_CAPITAL
        return _CAPITALISED if word[1:].islower() else _MIXED
    return _DIGITS_AND_LETTERS if word.isalnum() else _SIGN
