"""What the cloud's text must pass before it is shown or kept: no keys, nothing that the site has forbidden, licences noted.

A text that streams in is held back far enough that whatever would be withheld is whole before its first letter is shown: the last word,
since no key has a space in it, and before that as many characters as the longest phrase has that the site forbids.
"""

import re
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from agent.escalation import Completion, EscalationFailed

PHRASE_CHARACTERS = 160
"""The longest phrase that a site may forbid."""

_SPACES = 8

LONGEST_WORD_CHARACTERS = 4096
"""A longer run without white space is let go of in pieces: it is data, and no token of any issuer is so long."""

_LICENCES = (
    "SPDX-License-Identifier:",
    "Licensed under the Apache License",
    "GNU General Public License",
    "GNU Lesser General Public License",
    "GNU Affero General Public License",
    "Permission is hereby granted, free of charge, to any person",
    "Redistribution and use in source and binary forms",
    "subject to the terms of the Mozilla Public License",
)
"""How the headers begin that those licences ask for (spdx.org/licenses)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Args:
        name: for the receipt.
        matches: says whether a text has what the rule looks for.
        characters: of the longest phrase that it looks for; what it looks for else has no space in it.
        denies: whether such a text is withheld; else it is noted, and not kept.
    """

    name: str
    matches: Callable[[str], bool]
    characters: int = 0
    denies: bool = True


def build_rules(has_key: Callable[[str], bool], denied: Iterable[str] = ()) -> tuple[Rule, ...]:
    """Returns the rules of a site.

    Args:
        has_key: says whether a text has a key in it.
        denied: phrases that no answer from outside may have, in any case and spacing; at most PHRASE_CHARACTERS long.
    """
    rules = [Rule("output-secret", has_key), Rule("output-licence", _any_of(_LICENCES), _longest(_LICENCES), denies=False)]
    if phrases := [phrase for phrase in denied if phrase.strip()]:
        rules.append(Rule("output-denied", _any_of(phrases), _longest(phrases)))
    return tuple(rules)


def _longest(phrases: Iterable[str]) -> int:
    """The spaces between the words of a phrase may be a line's end with an indentation."""
    return max(len(phrase) + _SPACES * phrase.count(" ") for phrase in phrases)


def _any_of(phrases: Iterable[str]) -> Callable[[str], bool]:
    words = [r"\s+".join(re.escape(word) for word in phrase.split()) for phrase in phrases]
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE)
    return lambda text: pattern.search(text) is not None


class Denied(Exception):
    """A rule withholds the rest of the text.

    Args:
        rule: its name.
    """

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


class Screen:
    """Looks through one answer.

    Args:
        rules: that it must pass.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._held_characters = max((rule.characters for rule in rules if rule.denies), default=0)
        self._seen_characters = max((rule.characters for rule in rules), default=0)
        self._text = ""
        self._passed = 0
        self.notes: tuple[str, ...] = ()

    def feed(self, text: str) -> str:
        """Takes a piece; returns what has passed.

        Raises:
            Denied: nothing more may be shown.
        """
        self._text += text
        if not self._rules:
            return self._pass(len(self._text))
        word = max(0, self._text.rfind(" "), self._text.rfind("\n"), len(self._text) - LONGEST_WORD_CHARACTERS)
        self._look(self._text[:word])  # what the last word is, is not known yet
        return self._pass(word - self._held_characters)

    def end(self) -> str:
        """Returns the rest: the answer is over.

        Raises:
            Denied: it may not be shown.
        """
        self._look(self._text)
        return self._pass(len(self._text))

    def _look(self, text: str) -> None:
        for rule in self._rules:
            if rule.name not in self.notes and rule.matches(text):
                if rule.denies:
                    raise Denied(rule.name)
                self.notes = (*self.notes, rule.name)

    def _pass(self, end: int) -> str:
        """Gives what is before a place and was not given yet; keeps so much of it that a phrase that began there is still seen."""
        passed = self._text[self._passed : end] if end > self._passed else ""
        self._passed = max(self._passed, end)
        forgotten = max(0, self._passed - self._seen_characters)
        self._text, self._passed = self._text[forgotten:], self._passed - forgotten
        return passed


async def screened(pieces: AsyncGenerator[str | Completion, None], rules: Sequence[Rule]) -> AsyncGenerator[str | Completion, None]:
    """Yields what passes the rules. An answer that is withheld from some place on ends there, with the finish reason `content_filter`.

    Args:
        pieces: of the answer; closed at the end.
        rules: that it must pass.

    Raises:
        EscalationFailed: `output-…`, nothing of it may be shown.
    """
    screen, shown = Screen(rules), False
    async with aclosing(pieces):
        async for piece in pieces:
            try:
                text = screen.feed(piece) if isinstance(piece, str) else screen.end()
            except Denied as denied:
                if not shown:
                    raise EscalationFailed(denied.rule, sent=True) from None
                yield replace(await _last(pieces), finish_reason="content_filter", notes=(*screen.notes, denied.rule))
                return
            if text:
                shown = True
                yield text
            if not isinstance(piece, str):
                yield replace(piece, notes=screen.notes)


async def _last(pieces: AsyncGenerator[str | Completion, None]) -> Completion:
    """Hears an answer to its end, without a word of it: who answered, and what it cost, is told there."""
    async for piece in pieces:
        if not isinstance(piece, str):
            return piece
    raise EscalationFailed("hub-unavailable", sent=True)
