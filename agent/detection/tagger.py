"""Finds persons, addresses, places, organisations and the like by a small network; see docs/adr/0017-detector.md and models/detector."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from agent.detection.words import Words, cut
from agent.inference.shipped import Shipped, open_network, open_tokenizer
from contract.classification import Finding
from contract.errors import Reason

WEIGHTS = Path(__file__).parent / "weights"
MODEL, TOKENIZER = "tagger.onnx", "tokenizer.json"

_SHIPPED = Shipped(
    "detector", "every prompt is restricted", (MODEL, TOKENIZER), unavailable=Reason.DETECTOR_UNAVAILABLE, invalid=Reason.DETECTOR_INVALID
)

LABELS = (
    "",
    "PERSON",
    "STREET_ADDRESS",
    "LOCATION",
    "ORGANIZATION",
    "DATE_TIME",
    "AGE",
    "TITLE",
    "NATIONALITY",
    "PHONE_NUMBER",
    "NUMBER",
    "",
)
"""What the network says of a word, in its order; an empty one is nothing, or what a pattern finds better."""

WINDOW_TOKENS = 160
OVERLAP_TOKENS = 32
"""Windows begin so that every word stands with at least half of this on both sides of it in one of them."""

_FIRST, _LAST = 101, 102  # [CLS] and [SEP] of MiniLM's vocabulary
_LEAST_DIGITS = {"AGE": 1, "STREET_ADDRESS": 4, "PHONE_NUMBER": 5, "NUMBER": 5}
_LOOSE_ENDS = " ,;:)\"'"

Array = npt.NDArray[np.float32]


LEAST: Mapping[str, float] = MappingProxyType(
    {
        "PERSON": 0.5,
        "STREET_ADDRESS": 0.5,
        "LOCATION": 0.97,
        "ORGANIZATION": 0.998,
        "NATIONALITY": 0.99,
        "AGE": 0.9,
        "DATE_TIME": 0.998,
        "PHONE_NUMBER": 0.97,
        "NUMBER": 0.97,
    }
)
"""How sure the network must be that a word is anything, where it would be of this kind: less so where a miss costs most, more so where
patterns look too. It does not tell titles: it takes every trade for one."""

BESIDE = 0.3
"""The same for a word beside one that is of this kind, where names of several words are usual."""

_SEVERAL_WORDS = ("PERSON", "STREET_ADDRESS", "LOCATION", "ORGANIZATION")


class Tagger:
    """The network.

    Args:
        folder: of its weights.
        least: see LEAST.

    Raises:
        Unavailable: DETECTOR_UNAVAILABLE: the weights are not there.
        InvalidRequest: DETECTOR_INVALID: they are not those of this version.
    """

    def __init__(self, folder: Path = WEIGHTS, least: Mapping[str, float] = LEAST) -> None:
        _SHIPPED.verify(folder)
        self._session = open_network(folder / MODEL)
        self._tokenizer = open_tokenizer(folder / TOKENIZER)
        self._least = np.array([least.get(label, 1.1) for label in LABELS], np.float32)

    def find(self, text: str) -> Iterator[Finding]:
        """Finds what it can in a text, long ones in windows."""
        words = cut(self._tokenizer, text)
        if not words.ids:
            return
        chances = self._chances(words)
        yield from _findings(text, words, chances, self._least)

    def _chances(self, words: Words) -> Array:
        """Returns each word's probabilities [words, labels]: the mean of its tokens'."""
        tokens = np.concatenate([self._window(words, *window) for window in windows(len(words.ids))])
        sums = np.zeros((len(words.spans), len(LABELS)), np.float32)
        np.add.at(sums, np.array(words.word_of), tokens)
        counts: Array = np.bincount(np.array(words.word_of)).astype(np.float32)
        means: Array = sums / counts[:, None]
        return means

    def _window(self, words: Words, start: int, end: int, keep_start: int, keep_end: int) -> Array:
        ids = np.array([[_FIRST, *words.ids[start:end], _LAST]], np.int64)
        shapes = np.array([[0, *words.shapes[start:end], 0]], np.int64)
        (logits,) = self._session.run(None, {"ids": ids, "shapes": shapes})
        kept = logits[0, 1 + keep_start - start : 1 + keep_end - start]
        powers = np.exp(kept - kept.max(axis=-1, keepdims=True))
        chances: Array = powers / powers.sum(axis=-1, keepdims=True)
        return chances


def windows(tokens: int) -> Iterator[tuple[int, int, int, int]]:
    """Yields windows over a text: its first token and the one after its last, and the same of what is kept of it."""
    start = kept = 0
    while kept < tokens:
        end = min(start + WINDOW_TOKENS, tokens)
        keep = tokens if end == tokens else end - OVERLAP_TOKENS // 2
        yield start, end, kept, keep
        start, kept = end - OVERLAP_TOKENS, keep


def _findings(text: str, words: Words, chances: Array, least: Array) -> Iterator[Finding]:
    """Joins neighbouring words of one kind; a word that is nearly one beside one that is belongs to it."""
    something, likeliest = 1 - chances[:, 0], chances[:, 1:].argmax(axis=-1) + 1
    kinds = np.where(something >= least[likeliest], likeliest, 0)
    for kind in (LABELS.index(label) for label in _SEVERAL_WORDS):
        sure, nearly = kinds == kind, (kinds == 0) & (something >= BESIDE) & (likeliest == kind)
        kinds[1:][nearly[1:] & sure[:-1]] = kind
        kinds[:-1][nearly[:-1] & sure[1:]] = kind
    place = 0
    while place < len(kinds):
        first, kind = place, kinds[place]
        while place < len(kinds) and kinds[place] == kind and (place == first or _are_joined(text, words, place, LABELS[kind])):
            place += 1
        start, end = words.spans[first][0], words.spans[place - 1][1]
        if LABELS[kind]:
            yield from _named(text, start, end, LABELS[kind])


def _are_joined(text: str, words: Words, place: int, kind: str) -> bool:
    """Whether a word goes on with what the one before it began: an address alone goes on in the next line."""
    return kind == "STREET_ADDRESS" or "\n" not in text[words.spans[place - 1][1] : words.spans[place][0]]


def _named(text: str, start: int, end: int, kind: str) -> Iterator[Finding]:
    while start < end and text[end - 1] in _LOOSE_ENDS:
        end -= 1
    letters, digits = (sum(map(test, text[start:end])) for test in (str.isalpha, str.isdigit))
    if digits < _LEAST_DIGITS.get(kind, 0 if letters else 1) and (not letters or kind != "STREET_ADDRESS"):
        return
    yield Finding(start, end, "ACCOUNT_NUMBER" if kind == "NUMBER" else kind)
