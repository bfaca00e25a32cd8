"""What a question asks for: by its first words, and by the verb that follows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from agent.cache.reading.lexicon import ASKING, GOVERNORS, is_past, listed
from agent.cache.reading.tokens import Token

PAST, CAN, SHOULD, MUST, WILL, WOULD, PRESENT = MODALITIES = "past", "can", "should", "must", "will", "would", "present"

_MODALITY_OF = {word: modality for modality in MODALITIES for word in listed(modality)}
_MODALS = frozenset(_MODALITY_OF) - listed("past") - listed("present")
PERFECT = "perfect"
_ASKERS, _HOW_VERBS, _PLAIN_WAYS = listed("askers"), listed("how_verbs"), listed("plain_ways")
_EXTENTS, _MOMENTS, _WAYS = listed("extents"), listed("moments"), listed("ways")
_WHAT_MEANS, _EXPLAINING = listed("what_means"), listed("explaining")
_ASKING_TOKENS = 10


@dataclass(frozen=True, slots=True)
class Asking:
    """The words that ask.

    Args:
        what: is asked for.
        taken: how many words say so.
        modality: see PAST and the others; empty: it does not matter.
        kept: those among the words that count besides.
    """

    what: str
    taken: int
    modality: str = ""
    kept: frozenset[str] = frozenset()


def read_asked(tokens: Sequence[Token]) -> tuple[tuple[str, ...], frozenset[str], list[Token]]:
    """Returns what is asked for, sorted; its modalities; and the words without those that only ask."""
    asked, modalities, rest = list[str](), set[str](), list[Token]()
    place = 0
    while place < len(tokens):
        texts = [token.text for token in tokens[place : place + _ASKING_TOKENS]]
        found = _kind(texts) if _starts(tokens, place) else None
        if found is None and tokens[place].begins and texts[0] in _MODALITY_OF:
            found = Asking("is there" if texts[1:2] == ["there"] else "is", 1, _MODALITY_OF[texts[0]])
        if found is None and tokens[place].begins and texts[0] in _EXPLAINING and texts[1:2] and texts[1] not in ASKING:
            found = Asking("what", 1, PRESENT)
        if found is None:
            rest.append(tokens[place])
            place += 1
        else:
            asked.append(found.what)
            modalities.update((found.modality,) if found.modality else ())
            rest += [token for token in tokens[place : place + found.taken] if token.text in found.kept]
            place += found.taken
    if _is_perfect(tokens):
        modalities.add(PERFECT)
    return tuple(sorted(asked)), frozenset(modalities), rest


def _is_perfect(tokens: Sequence[Token]) -> bool:
    """Whether it is of what could, should, would have been done."""
    has_modal = any(token.text in _MODALS for token in tokens)
    return has_modal and any(one.text == "have" and (other.text == "been" or is_past(other.text)) for one, other in pairwise(tokens))


def _starts(tokens: Sequence[Token], place: int) -> bool:
    """Whether a question may begin here: a sentence does, or there is a pause, an and, or a preposition before it."""
    if tokens[place].text not in ASKING:
        return False
    if tokens[place].begins:
        return True
    before = tokens[place - 1]
    return before.pause or before.text in ("and", "or", "but") or (before.begins and before.text in GOVERNORS)


def _kind(texts: Sequence[str]) -> Asking:
    """Returns what a question that begins with these words asks for."""
    first, second, third = (*texts, "", "", "")[:3]
    if first == "how":
        return _how(second, third)
    if first in ("what", "which"):
        return _what(texts)
    return Asking("who" if first in ("whom", "whose") else first, 1, _modality(texts[1:]))


def _how(second: str, third: str) -> Asking:
    if second in ("many", "much") or second in _EXTENTS:
        return Asking(f"how {second}", 2, _MODALITY_OF.get(third, PRESENT))
    if second == "to" or second in _ASKERS:
        return Asking("way", 2)
    if second in _HOW_VERBS and third in _ASKERS:
        return Asking("way", 3)
    return Asking("how", 1, _MODALITY_OF.get(second, PRESENT))


def _what(texts: Sequence[str]) -> Asking:
    second = texts[1] if len(texts) > 1 else ""
    if second in _MOMENTS:
        return Asking("when", 2, _modality(texts[2:]))
    if texts[1:4] in (["is", "the", "reason"], ["are", "the", "reasons"]) and texts[4:5] != ["of"]:
        return Asking("why", 4, PRESENT)
    if second in ("is", "are", "would", "will", "can") and (taken := _way_end(texts)):
        return Asking("way", taken, "", frozenset(texts[2 : taken - 2]) - _PLAIN_WAYS)
    if (
        second in ("do", "can", "should", "must", "could")
        and texts[2:3]
        and texts[2] in _ASKERS
        and texts[3:5] in (["do", "to"], ["do", "for"])
    ):
        return Asking("way", 5)
    what = "what does" if second in ("do", "does", "did") and _WHAT_MEANS.isdisjoint(texts) else "what"
    return Asking(what, 1, _modality(texts[1:]))


def _way_end(texts: Sequence[str]) -> int:
    """Returns the place after `the best way to`, or 0."""
    for place in range(2, len(texts) - 1):
        if texts[place] in _WAYS and texts[place + 1] in ("to", "of", "for"):
            return place + 2
    return 0


def _modality(texts: Sequence[str]) -> str:
    """Of who invented, which team won, what should I: the first that says it. To ask where one can is to ask where one does."""
    for place, text in enumerate(texts[:4]):
        if text in _MODALITY_OF:
            is_of_asker = place + 1 < len(texts) and texts[place + 1] in _ASKERS
            return PRESENT if is_of_asker and _MODALITY_OF[text] == CAN else _MODALITY_OF[text]
    return PAST if any(map(is_past, texts[:2])) else PRESENT
