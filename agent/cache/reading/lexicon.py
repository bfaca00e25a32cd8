"""What the guard knows of English: which words mean the same, which the opposite, and which change no answer.

An ending is taken off by rules of ours, milder than Porter's, which also join what must stay apart: general and generic, university and
universe. What the rules do not join stays apart, and the guard refuses.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

_VOWELS = frozenset("aeiouy")
_CONTENT: dict[str, Any] = tomllib.loads(resources.files(__package__).joinpath("words.toml").read_text("utf-8"))


def listed(name: str) -> frozenset[str]:
    """Returns the words of one of the lists."""
    return frozenset(_CONTENT["lists"][name].split())


def lines(name: str) -> list[str]:
    """Returns the lines of one of the tables."""
    return [line for line in _CONTENT["words"][name].split("\n") if line]


FILLERS, ASKING, GOVERNORS = listed("fillers"), listed("asking"), listed("governors")
IRREGULAR: Mapping[str, str] = dict(map(str.split, lines("irregular")))
LEAD_INS = tuple(sorted((tuple(item.split()) for item in _CONTENT["lead_ins"]), key=len, reverse=True))
PHRASES: Mapping[tuple[str, ...], str] = {tuple(phrase.split()): word for phrase, word in _CONTENT["phrases"].items()}

_KEPT = listed("kept")
_PREFIXES = ("un", "dis", "in", "im", "il", "ir", "de", "non", "anti", "mis")


@cache
def ending(word: str) -> str:
    """Returns `ing` or `ed` where a word has that ending: a developing country is no developed one."""
    if word in _KEPT or word in IRREGULAR:
        return ""
    return next((end for end in ("ing", "ed") if word.endswith(end) and _can_lose(word, end)), "")


def is_past(word: str) -> bool:
    """Says whether a word may be a verb of the past, or what was done to something."""
    return ending(word) == "ed" or word in IRREGULAR


@cache
def stem(word: str) -> str:
    """Returns a word, in small letters, without the endings of number, tense and manner."""
    word = IRREGULAR.get(word, word)
    if not word.isalpha():
        return word
    return _last_changed(word if word in _KEPT or len(word) < 4 else _bare(word))


def _bare(word: str) -> str:
    if word.endswith(("ies", "ied")):
        return word[:-2]
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    for end in ("ing", "ed"):
        if word.endswith(end) and _can_lose(word, end):
            return _undoubled(word.removesuffix(end))
    return word.removesuffix("ly") if len(word) > 5 else word


def _can_lose(word: str, end: str) -> bool:
    left = word.removesuffix(end)
    return len(left) >= 3 and not _VOWELS.isdisjoint(left)


def _undoubled(word: str) -> str:
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz" else word


def _last_changed(word: str) -> str:
    """Makes one of what is left of movie and movies, country and countries, make and making."""
    if word.endswith("e") and len(word) > 3:
        word = word[:-1]
    return f"{word[:-1]}i" if word.endswith("y") and len(word) > 2 else word


def _groups() -> dict[str, str]:
    return {stem(word): stem(words[0]) for words in map(str.split, lines("synonyms")) for word in words}


_FIRST_OF = _groups()


@cache
def canonical(word: str) -> str:
    """Returns what stands for a word, in small letters, and for all that mean the same."""
    return _FIRST_OF.get(stem(word), stem(word))


QUANTIFIERS = frozenset(map(canonical, listed("quantifiers")))
_OPPOSITES = frozenset(frozenset(map(form, pair)) for pair in map(str.split, lines("opposites")) for form in (canonical, stem))


def are_opposite(one: str, other: str) -> bool:
    """Says whether two words, as `canonical` gives them, are opposites: by the list, or by a prefix that one of them has."""
    if frozenset((one, other)) in _OPPOSITES:
        return True
    short, long = sorted((one, other), key=len)
    return len(short) > 2 and any(long == prefix + short for prefix in _PREFIXES)
