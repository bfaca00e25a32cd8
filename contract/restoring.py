r"""Puts the values back into an answer whose question was redacted, also while it streams in, cut anywhere.

Models do not copy placeholders to the letter. Taken for one are, of those that were sent and of no others:
    - any case: `<person_37>`;
    - Markdown's and HTML's escapes: `\<PERSON\_37\>`, `&lt;PERSON_37&gt;`;
    - a space or a dash for an underscore, in brackets: `<person 37>`;
    - no brackets at all, as a word of its own: `PERSON_37`;
    - a spelling that was not sent, where the thing has one that was: `<PERSON_37c>`.
What stands around it, such as a possessive, quotes or asterisks, stays. A placeholder that was never sent is left as it is, and told.

Where the text is cut makes no difference: what may still become a placeholder waits until that is known.
"""

import re
from collections.abc import Iterable, Sequence

from contract.redaction import Placeholder

_OPEN, _CLOSE = r"(?:\\?<|&lt;) ?", r" ?(?:\\?>|&gt;)"
_INVENTED = re.compile(r"<([A-Z][A-Z_]{0,40}_\d{1,6}[a-z]?)>")
_MAY_BE_INVENTED = re.compile(r"<(?:[A-Z][A-Z_]{0,41}(?:\d{1,6}[a-z]?)?)?")
_MAY_OPEN = re.compile(r"\\|&|&l|&lt|(?:\\?<|&lt;) ?")
_TAIL = re.compile(r"\d{0,6}[a-zA-Z]?(?: ?(?:\\|&|&g|&gt)?)?")
_SEPARATOR = r"(?:\\?_|[ -])"


class Restorer:
    """Restores one answer.

    Args:
        sent: the placeholders that stand in what was sent.
        literal: names in the form of a placeholder that somebody wrote there; they are nobody's invention.
    """

    def __init__(self, sent: Iterable[Placeholder], literal: Iterable[str] = ()) -> None:
        items = tuple(sent)
        self._values = {item.name.upper(): item.value for item in items}
        for item in items:
            self._values.setdefault(f"{item.kind}_{item.number}", item.value)
        self._literal = frozenset(literal)
        kinds = sorted({item.kind for item in items}, key=len, reverse=True)
        self._kinds = tuple(kinds)
        self._forms = _forms(kinds)
        self._starts = re.compile(r"[<\\&]" + "".join(rf"|(?<!\w){kind[0]}" for kind in sorted({kind[0] for kind in kinds})), re.IGNORECASE)
        self._waiting = ""
        self._before = ""
        self.invented: tuple[str, ...] = ()

    def feed(self, text: str) -> str:
        """Takes a piece of the answer; returns what of it, and of what waited, is certain."""
        return self._go_on(text, is_end=False)

    def end(self) -> str:
        """Returns what waited still: the answer is over."""
        return self._go_on("", is_end=True)

    def _go_on(self, text: str, *, is_end: bool) -> str:
        """The last character that is through stays in front, since a word begins only where none is before it."""
        held = self._before + self._waiting + text
        place, pieces = len(self._before), []
        while (start := self._starts.search(held, place)) is not None:
            pieces.append(held[place : start.start()])
            place = start.start()
            if not is_end and self._may_go_on(held, place):
                break
            piece, place = self._placed(held, place)
            pieces.append(piece)
        else:
            pieces.append(held[place:])
            place = len(held)
        self._before, self._waiting = held[max(0, place - 1) : place], held[place:]
        return "".join(pieces)

    def _placed(self, held: str, place: int) -> tuple[str, int]:
        """Returns what stands for the placeholder that begins here, or the character that only looked like one, and where to go on."""
        for form in self._forms:
            if (match := form.match(held, place)) is not None:
                return self._restored(match), match.end()
        if (match := _INVENTED.match(held, place)) is not None:
            self._note(match[1])
            return match.group(), match.end()
        return held[place], place + 1

    def _restored(self, match: re.Match[str]) -> str:
        kind = re.sub(_SEPARATOR, "_", match["kind"]).upper()
        thing = f"{kind}_{int(match['number'])}"
        value = self._values.get(thing + match["form"].upper())
        if value is None and match["open"]:
            value = self._values.get(thing)
            if value is None:
                self._note(thing + match["form"].lower())
        return match.group() if value is None else value

    def _note(self, name: str) -> None:
        if name.upper() not in self._literal and name not in self.invented:
            self.invented = (*self.invented, name)

    def _may_go_on(self, held: str, place: int) -> bool:
        """Says whether what begins here could be a placeholder once more has come, or a longer one."""
        rest = held[place:]
        if _MAY_OPEN.fullmatch(rest) or _MAY_BE_INVENTED.fullmatch(rest):
            return True
        opened = re.match(_OPEN, rest)
        return any(_may_become(kind, rest[opened.end() if opened else 0 :]) for kind in self._kinds)


def restore(text: str, sent: Iterable[Placeholder], literal: Iterable[str] = ()) -> str:
    """Restores a whole answer; see Restorer."""
    restorer = Restorer(sent, literal)
    return restorer.feed(text) + restorer.end()


def _forms(kinds: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    if not kinds:
        return ()
    loose = "|".join(kind.replace("_", _SEPARATOR) for kind in kinds)
    strict = "|".join(kind.replace("_", r"\\?_") for kind in kinds)
    return (
        re.compile(rf"(?P<open>{_OPEN})(?P<kind>{loose}){_SEPARATOR}(?P<number>\d{{1,6}})(?P<form>[a-z]?){_CLOSE}", re.IGNORECASE),
        re.compile(rf"(?<!\w)(?P<open>)(?P<kind>{strict})\\?_(?P<number>\d{{1,6}})(?P<form>[a-z]?)(?!\w)", re.IGNORECASE),
    )


def _may_become(kind: str, rest: str) -> bool:
    """Says whether a text is the beginning of a kind's placeholder, or a whole one to which something could still be added."""
    plain = re.sub(r"\\?_|[ -]", "_", rest).upper().removesuffix("\\")
    wanted = f"{kind}_"
    if wanted.startswith(plain):
        return True
    if not plain.startswith(wanted):
        return False
    names = re.match(kind.replace("_", _SEPARATOR) + _SEPARATOR, rest, re.IGNORECASE)
    return names is not None and _TAIL.fullmatch(rest, names.end()) is not None
