"""Takes personal data and secrets out of a conversation before it leaves, and names each by a placeholder such as `<PERSON_37>`.

The rules:
    1. what is found in any message is taken out of every message, wherever it stands as a word;
    2. one thing has one number for as long as the conversation lasts, whatever its case or spacing; each spelling is a form of its own
       (`<PERSON_37>`, `<PERSON_37b>`), so that restoring gives back what was written;
    3. numbers are drawn anew for each conversation: two of them cannot be joined by their placeholders;
    4. what is left is looked through once more, and anything that was to be taken out stops the whole.

`contract/restoring.py` puts the values back.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from contract.classification import Finding
from contract.errors import NotPermitted, Reason

FIRST_NUMBERS = 99
LAST_NUMBERS = 999_999
"""Short numbers first: models copy them better. The more values there are, the longer they get."""

LEAST_CHARACTERS = 3
"""Of a value that is taken out where no detector has found it: shorter ones are parts of too many words."""

MAX_FORMS = 26
_KIND = re.compile(r"[A-Z](?:[A-Z_]{0,38}[A-Z])?")
_LITERAL = re.compile(r"[A-Za-z_]{1,42}_(\d{1,6})")
_TOKEN = re.compile(r"<[A-Z_]+_\d+[a-z]?>")
_WORD = re.compile(r"\w+")
_GAP = "\N{OBJECT REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Placeholder:
    """What stands for a value.

    Args:
        kind: of the data, such as PERSON; capital letters and underscores.
        number: of the thing, from 1.
        form: of its spelling, from 0.
        value: what was written.
    """

    kind: str
    number: int
    form: int
    value: str

    @property
    def token(self) -> str:
        """As it is written into the text."""
        return f"<{self.name}>"

    @property
    def name(self) -> str:
        """Without brackets."""
        return f"{self.kind}_{self.number}{form_letter(self.form)}"


def form_letter(form: int) -> str:
    """Returns how a spelling is marked: nothing, then b, c and so on."""
    return chr(ord("a") + form) if form else ""


@dataclass(frozen=True, slots=True)
class Vault:
    """All placeholders of a conversation. It never leaves the device.

    Args:
        placeholders: in the order in which they were given.
    """

    placeholders: tuple[Placeholder, ...] = ()

    def to_json(self) -> bytes:
        """Returns it as bytes, to be sealed."""
        return json.dumps([[item.kind, item.number, item.form, item.value] for item in self.placeholders]).encode()

    @classmethod
    def from_json(cls, content: bytes) -> "Vault":
        """Reads what `to_json` gave.

        Raises:
            ValueError: it is something else.
        """
        rows: Any = json.loads(content)
        if not isinstance(rows, list):
            raise ValueError("a vault is a list")
        return cls(tuple(_read_row(row) for row in rows))


@dataclass(frozen=True, slots=True)
class Redacted:
    """A conversation that may leave.

    Args:
        texts: of its messages.
        vault: of the conversation, with what is new in it.
        sent: the placeholders that stand in the texts: no others are ever restored.
        literal: names in the form of a placeholder that somebody wrote there.
    """

    texts: tuple[str, ...]
    vault: Vault
    sent: tuple[Placeholder, ...]
    literal: frozenset[str]


class RedactionFailed(NotPermitted):
    """Something that was to be taken out is still there, or cannot be named: the conversation stays."""


def redact(texts: Sequence[str], findings: Sequence[Sequence[Finding]], known: Vault, draw: Callable[[int], int]) -> Redacted:
    """Takes out of a conversation what was found in it, and all that was taken out of it before.

    Args:
        texts: of its messages.
        findings: of each message, in characters.
        known: what was taken out in earlier turns.
        draw: returns a random number from 0 to below the given one; unpredictable.

    Raises:
        RedactionFailed: REDACTION_FAILED, it cannot be done wholly.
    """
    if len(texts) != len(findings):
        raise _failed("not every message was looked through")
    literal = frozenset(match.group().upper() for text in texts for match in _LITERAL.finditer(text))
    naming = _Naming(known, _numbers(literal), draw)
    found = [_merged(text, spans) for text, spans in zip(texts, findings, strict=True)]
    for text, spans, parts in zip(texts, found, findings, strict=True):
        for span in (*spans, *parts):  # also what lies within another one: elsewhere it may stand by itself
            if value := text[span.start : span.end].strip():
                naming.name(span.kind, value)
    taken = [_taken_out(text, spans, naming) for text, spans in zip(texts, found, strict=True)]
    redacted = tuple(text for text, _ in taken)
    vault = naming.vault()
    _check(redacted, vault)
    return Redacted(redacted, vault, tuple(dict.fromkeys(item for _, items in taken for item in items)), literal)


def normal(value: str) -> str:
    """Returns a value without what two spellings of one thing differ by: case, width, spaces."""
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())


@dataclass(slots=True)
class _Naming:
    """Gives things their numbers, and spellings their forms."""

    known: Vault
    taken_numbers: set[int]
    draw: Callable[[int], int]
    _by_value: dict[str, Placeholder] = field(init=False)
    _things: dict[str, Placeholder] = field(init=False)
    _forms: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self._by_value, self._things, self._forms = {}, {}, {}
        for item in self.known.placeholders:
            self._keep(item)

    def name(self, kind: str, value: str) -> Placeholder:
        """Returns what stands for a value: what did before, or something new."""
        if value in self._by_value:
            return self._by_value[value]
        if not _KIND.fullmatch(kind):
            raise _failed("a kind of data has a name that no placeholder can have")
        thing = self._thing(kind, value)
        if thing is not None and self._forms[thing.number] < MAX_FORMS:
            return self._keep(Placeholder(thing.kind, thing.number, self._forms[thing.number], value))
        return self._keep(Placeholder(kind, self._new_number(), 0, value))

    def vault(self) -> Vault:
        """Returns all that was named, now and before."""
        return Vault(tuple(self._by_value.values()))

    def pattern(self) -> re.Pattern[str] | None:
        """Returns what finds any of the values as a word, in any case and spacing; None: there is none to look for."""
        values = [value for value in self._by_value if len(value) >= LEAST_CHARACTERS]
        if not values:
            return None
        longest_first = sorted(values, key=len, reverse=True)
        return re.compile("|".join(_as_word(value) for value in longest_first), re.IGNORECASE)

    def kind_of(self, value: str) -> str:
        """Returns the kind of a thing that was named in some spelling."""
        return self._things[normal(value)].kind if normal(value) in self._things else "VALUE"

    def _keep(self, item: Placeholder) -> Placeholder:
        self._by_value[item.value] = item
        self._things.setdefault(normal(item.value), item)
        self._forms[item.number] = max(self._forms.get(item.number, 0), item.form + 1)
        self.taken_numbers.add(item.number)
        return item

    def _thing(self, kind: str, value: str) -> Placeholder | None:
        """Returns the thing that a value is another spelling of: a person also by a part of the name, if only one has it."""
        same = self._things.get(normal(value))
        if same is not None or kind != "PERSON":
            return same
        words = set(_WORD.findall(normal(value)))
        akin = [item for item in self._persons() if all(words <= other or other <= words for other in self._words_of(item.number))]
        return akin[0] if words and len(akin) == 1 else None

    def _persons(self) -> list[Placeholder]:
        """Returns each person in the spelling that came first."""
        return [item for item in self._by_value.values() if item.kind == "PERSON" and item.form == 0]

    def _words_of(self, number: int) -> list[set[str]]:
        return [set(_WORD.findall(text)) for text, item in self._things.items() if item.number == number]

    def _new_number(self) -> int:
        most = FIRST_NUMBERS
        while 2 * sum(number <= most for number in self.taken_numbers) >= most:
            most = most * 10 + 9
        if most > LAST_NUMBERS:
            raise _failed("it has more values than can be numbered")
        while (number := 1 + self.draw(most)) in self.taken_numbers:
            pass
        return number


def _merged(text: str, spans: Iterable[Finding]) -> list[Finding]:
    """Returns what was found, without edges of white space, and as one where it overlaps."""
    result: list[Finding] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if not 0 <= span.start <= span.end <= len(text):
            raise _failed("something was found outside of the text")
        inner = text[span.start : span.end]
        start = span.start + len(inner) - len(inner.lstrip())
        end = start + len(inner.strip())
        if start == end:
            continue
        if result and start < result[-1].end:
            last = result[-1]
            kind = last.kind if last.end - last.start >= end - start else span.kind
            result[-1] = Finding(last.start, max(last.end, end), kind)
        else:
            result.append(Finding(start, end, span.kind))
    return result


def _taken_out(text: str, spans: Sequence[Finding], naming: _Naming) -> tuple[str, list[Placeholder]]:
    pattern = naming.pattern()
    words = [] if pattern is None else [Finding(m.start(), m.end(), naming.kind_of(m.group())) for m in pattern.finditer(text)]
    pieces: list[str] = []
    items: list[Placeholder] = []
    done = 0
    for span in _merged(text, (*spans, *words)):
        items.append(naming.name(span.kind, text[span.start : span.end]))
        pieces += (text[done : span.start], items[-1].token)
        done = span.end
    return "".join((*pieces, text[done:])), items


def _check(texts: Sequence[str], vault: Vault) -> None:
    """Looks for the values again, by other means than those that took them out. No value is put together over a placeholder."""
    tokens = {item.token for item in vault.placeholders}
    values = {normal(item.value) for item in vault.placeholders if len(item.value) >= LEAST_CHARACTERS}
    for text in texts:
        kept = normal(_TOKEN.sub(lambda match: _GAP if match.group() in tokens else match.group(), text))
        if any(value in kept and re.search(rf"(?<!\w){re.escape(value)}(?!\w)", kept) for value in values):
            raise _failed("something that was to be taken out is still there")


def _as_word(value: str) -> str:
    body = r"\s+".join(re.escape(part) for part in value.split())
    return rf"(?<!\w){body}(?!\w)"


def _numbers(names: Iterable[str]) -> set[int]:
    return {int(match[1]) for name in names if (match := _LITERAL.fullmatch(name))}


def _read_row(row: Any) -> Placeholder:
    kind, number, form, value = row
    if not (isinstance(kind, str) and _KIND.fullmatch(kind) and isinstance(value, str) and value):
        raise ValueError("a placeholder has a kind and a value")
    if not (isinstance(number, int) and 1 <= number <= LAST_NUMBERS and isinstance(form, int) and 0 <= form < MAX_FORMS):
        raise ValueError("a placeholder has a number and a form")
    return Placeholder(kind, number, form, value)


def _failed(why: str) -> RedactionFailed:
    return RedactionFailed(Reason.REDACTION_FAILED, f"The prompt cannot be redacted, so it stays on this device: {why}.")
