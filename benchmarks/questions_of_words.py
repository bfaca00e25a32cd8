"""Questions of words and of what is known of the world: by rules, from the lists in `benchmarks/data/questions.toml`."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random

from benchmarks.questions import TRIES, Asking, Question, yes_or_no
from benchmarks.questions_of_numbers import either

LISTS = Path(__file__).parent / "data" / "questions.toml"

Pairs = Sequence[tuple[str, tuple[str, ...]]]
"""What is asked for, and what is right."""
Groups = Mapping[str, Sequence[str]]

WORDINGS = {
    "capital": ("What is the capital of {}?", "Name the capital city of {}.", "{}: which city is the capital?"),
    "continent": ("On which continent is {}?", "Which continent does {} belong to?"),
    "opposite": ("What is the opposite of '{}'?", "Give one word that means the opposite of '{}'."),
    "past_tense": ("What is the past tense of '{}'?", "Write the verb '{}' in the past tense."),
    "plural": ("What is the plural of '{}'?", "One {}, two ... Which word is missing?"),
    "symbol": ("What is the chemical symbol of {}?", "Which symbol stands for {} in the periodic table?"),
    "units": ("How many {} are there?", "Answer with a number: how many {}?"),
    "colour": ("What colour is {}?", "Name the colour of {}."),
    "definition": ("What do you call {}?", "Answer in one word: {}.", "Which word or name means '{}'?"),
    "spanish": ("How do you say '{}' in Spanish?", "Translate into Spanish: {}"),
    "french": ("How do you say '{}' in French?", "Translate into French: {}"),
    "german": ("How do you say '{}' in German?", "Translate into German: {}"),
}
_TURNED = ("Which country has the capital {}?", "{} is the capital of which country?")
_WORDS_OF_THEIR_OWN = "aist"
"""Letters that stand alone in English, or behind an apostrophe: an answer may name them by accident."""


def of_words() -> dict[str, Asking]:
    """Returns what makes the questions of each kind."""
    lists = tomllib.loads(LISTS.read_text())
    pairs = {name: read_pairs(text) for name, text in lists["pairs"].items()}
    groups = {name: [word.strip() for word in text.split(",")] for name, text in lists["groups"].items()}
    words = sorted({word for group in groups.values() for word in group if word.islower()})
    turned = [(cities[0], (country.removeprefix("the "),)) for country, cities in pairs["capital"]]
    return {
        **{kind: partial(asked, pairs[kind], wordings) for kind, wordings in WORDINGS.items()},
        "country": partial(asked, turned, _TURNED),
        **{ask.__name__: partial(ask, groups) for ask in (member, which_group, odd_one_out)},
        **{ask.__name__: partial(ask, words) for ask in (repeat, first_letter, letters, spelled, alphabet)},
    }


def read_pairs(text: str) -> Pairs:
    """Reads a list of the file."""
    items = [item.strip().rpartition(":") for item in text.split(",")]
    return [(name, tuple(answer.strip() for answer in answers.split("|"))) for name, _, answers in items]


def asked(pairs: Pairs, wordings: Sequence[str], _random: Random) -> Iterator[Question]:
    """What is the capital of Peru?"""
    yield from (Question(wording.format(name), answers) for name, answers in pairs for wording in wordings)


def member(groups: Groups, random: Random) -> Iterator[Question]:
    """Is 'apple' a fruit?"""
    for _ in range(TRIES):
        group, other = random.sample(sorted(groups), 2)
        word = random.choice(groups[random.choice((group, other))])
        yield yes_or_no(f"Is '{word}' the name of a {group}?", word in groups[group])


def which_group(groups: Groups, random: Random) -> Iterator[Question]:
    """Is 'apple' a fruit, a metal or a tool?"""
    for _ in range(TRIES):
        names = random.sample(sorted(groups), 3)
        word = random.choice(groups[names[0]])
        one, two, three = sorted(names)
        if not any(word in groups[name] for name in names[1:]):
            yield Question(f"Is '{word}' a {one}, a {two} or a {three}?", (names[0],), tuple(names[1:]))


def odd_one_out(groups: Groups, random: Random) -> Iterator[Question]:
    """Which word does not belong with the others?"""
    for _ in range(TRIES):
        group, other = random.sample(sorted(groups), 2)
        odd, others = random.choice(groups[other]), random.sample(groups[group], 3)
        if odd not in groups[group]:
            text = f"Which word does not belong with the others: {', '.join(sorted([odd, *others]))}?"
            yield Question(text, (odd,), tuple(others))


def repeat(words: Sequence[str], _random: Random) -> Iterator[Question]:
    """Repeat this word."""
    for word in words:
        yield Question(f"Repeat this word: {word}", (word,))
        yield Question(f"Write the word '{word}' once.", (word,))


def first_letter(words: Sequence[str], _random: Random) -> Iterator[Question]:
    """What is the first letter of 'lemon'?"""
    usable = (word for word in words if word[0] not in _WORDS_OF_THEIR_OWN)
    yield from (Question(f"What is the first letter of the word '{word}'?", (word[0],)) for word in usable)


def letters(words: Sequence[str], _random: Random) -> Iterator[Question]:
    """How many letters are in 'lemon'?"""
    yield from (Question(f"How many letters are in the word '{word}'?", either(len(word))) for word in words)


def spelled(words: Sequence[str], random: Random) -> Iterator[Question]:
    """Which one is spelled correctly, lemon or leomn?"""
    for word in words:
        place = random.randrange(1, len(word) - 1)
        wrong = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
        if wrong != word and wrong not in words:
            one, other = random.sample((word, wrong), 2)
            yield Question(f"Which one is spelled correctly: {one} or {other}?", (word,), (wrong,))


def alphabet(words: Sequence[str], random: Random) -> Iterator[Question]:
    """Which word comes first in the alphabet?"""
    for _ in range(TRIES):
        one, other = random.sample(words, 2)
        yield Question(f"Which word comes first in the alphabet: {one} or {other}?", (min(one, other),), (max(one, other),))
