"""Synthetic texts, each with the places of what is personal in it."""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from wonderwords import RandomWord

from models.detector.addresses import Addresses
from models.detector.people import Names, read_words

LABELS = ("O", "PERSON", "ADDRESS", "LOCATION", "ORGANIZATION", "DATE", "AGE", "TITLE", "NATIONALITY", "PHONE", "NUMBER", "OTHER")
"""What a word may be; OTHER: what a pattern finds better, learnt so that it is taken for nothing else."""

_FOLDER = Path(__file__).parent
_PHONES = ("en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "pl_PL", "pt_BR", "sv_SE", "nl_NL")
_SLOT = re.compile(r"\{([a-z_]+)\}")

_ANYBODY = ("I", "We", "They", "She", "He", "Someone", "My friend", "The customer", "Nobody", "The machine", "The manager", "Our team")
_NOBODY = (
    "the N and the N",
    "A N, A N and N",
    "N & N",
    "the A N of the N",
    "how do I V a A N?",
    "V the N before you V it.",
    "is a N better than a N?",
    "we need more N for the N N.",
    "my N is A and the N does not V.",
    "the N was A, but the A N was worse.",
    "N: A",
    "N N N",
    "why do people V?",
    "I V, you V and they V the N.",
    "there is no N in the A N.",
    "please V my N, it is A.",
    "- N\n- N\n- A N",
    "the N costs 12 euros, the N costs 30.",
    "the A V in the A N.",
    "N is a A N that can V.",
)

Piece = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Example:
    """A text and its spans: start, end, label."""

    text: str
    spans: tuple[tuple[int, int, str], ...]


class Generator:
    """Makes examples.

    Args:
        seed: the same seed makes the same examples, with the same version of Faker.
    """

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311  # texts, no secrets
        self._words = read_words()
        self._names = Names(self._chance, self._words)
        self._addresses = Addresses(self._names)
        self._sentences = _lines("sentences.txt")
        self._plain = _lines("plain.txt")
        speech = RandomWord()
        self._nouns, self._adjectives, self._verbs = (
            tuple(sorted(speech.filter(include_categories=[kind]))) for kind in ("noun", "adjective", "verb")
        )
        self._slots = self._makers()

    def examples(self, count: int) -> Iterator[Example]:
        """Yields texts, some with nothing in them."""
        for _ in range(count):
            yield self._example()

    def _example(self) -> Example:
        roll = self._chance.random()
        if roll < 0.28:
            sentences = [self._unfilled() for _ in range(self._chance.randint(1, 3))]
        elif roll < 0.35:
            sentences = [self._block()]
        else:
            sentences = [self._filled(self._sentence()) for _ in range(self._chance.choice((1, 1, 1, 1, 2, 2, 3)))]
            if self._chance.random() < 0.5:
                sentences.insert(self._chance.randint(0, len(sentences)), self._unfilled())
        between = self._chance.choice((" ", " ", " ", "\n"))
        pieces = [piece for sentence in sentences for piece in (*sentence, (between, "O"))][:-1]
        return _joined(self._worn(pieces))

    def _sentence(self) -> str:
        """A written sentence, or one put together from words."""
        if self._chance.random() < 0.85:
            return self._chance.choice(self._sentences)
        subject, other = (self._chance.choice(("{first}", "{full}", "{last}", "{titled}", "{org}")) for _ in range(2))
        tail = self._chance.choice(("", "", " in {place}", " on {date}", " in {year}", " with " + other, " for " + other, " at {street}"))
        return f"{subject} {self._clause()}{tail}."

    def _clause(self) -> str:
        return f"{self._words.pick('verbs', self._chance)} the {self._adjective()} {self._thing()}"

    def _unfilled(self) -> list[Piece]:
        """A sentence of nobody: written, or put together from a dictionary's words."""
        roll = self._chance.random()
        if roll < 0.5:
            return [(self._chance.choice(self._plain), "O")]
        if roll < 0.75:
            tail = self._chance.choice(("", " yesterday", " again", " twice", f" for the {self._thing()}"))
            return [(f"{self._chance.choice(_ANYBODY)} {self._clause()}{tail}.", "O")]
        form = self._chance.choice(_NOBODY)
        made = re.sub("[NAV]", lambda mark: {"N": self._thing, "A": self._adjective, "V": self._verb}[mark[0]](), form)
        return [(made.title() if self._chance.random() < 0.2 else made[:1].upper() + made[1:], "O")]

    def _thing(self) -> str:
        return self._chance.choice(self._nouns) if self._chance.random() < 0.8 else self._words.pick("things", self._chance)

    def _adjective(self) -> str:
        return self._chance.choice(self._adjectives) if self._chance.random() < 0.6 else self._words.pick("adjectives", self._chance)

    def _verb(self) -> str:
        return str(self._chance.choice(self._verbs))

    def _block(self) -> list[Piece]:
        """An address block: lines of a letter, a signature, a quoted form."""
        lines = ["{full}", "{org}", "{street}", "{unit}", "{place}", "{country}", "{zip}", "{phone}", "{email}"]
        chosen = [line for line in lines if self._chance.random() < 0.62] or ["{full}", "{street}"]
        prefix = self._chance.choice(("", "", "", "> ", "  ", "- ", "# ", "| "))
        head = self._chance.choice(("", "", "", "Address:\n", "Invoice to:\n", "Contact\n", "Recipient: "))
        return self._filled(head + "\n".join(prefix + line for line in chosen))

    def _filled(self, sentence: str) -> list[Piece]:
        pieces: list[Piece] = []
        end = 0
        for slot in _SLOT.finditer(sentence):
            if slot[1] in self._slots:
                pieces += [(sentence[end : slot.start()], "O"), *self._slots[slot[1]]()]
                end = slot.end()
        return [*pieces, (sentence[end:], "O")]

    def _worn(self, pieces: list[Piece]) -> list[Piece]:
        """As people type: all small, all capitals, without the last stop; names alone in capitals or small."""
        roll = self._chance.random()
        if roll < 0.09:
            return [(text.lower(), label) for text, label in pieces]
        if roll < 0.11:
            return [(text.upper(), label) for text, label in pieces]
        if roll < 0.15:
            return [(text.upper() if label in ("PERSON", "LOCATION") else text, label) for text, label in pieces]
        if roll < 0.17:
            return [(text.lower() if label in ("PERSON", "LOCATION", "NATIONALITY") else text, label) for text, label in pieces]
        if roll < 0.25 and pieces[-1][1] == "O":
            return [*pieces[:-1], (pieces[-1][0].rstrip(".!?"), "O")]
        return pieces

    def _makers(self) -> dict[str, Callable[[], list[Piece]]]:
        names, addresses, chance, pick = self._names, self._addresses, self._chance, self._words.pick
        return {
            "first": lambda: [(names.first(), "PERSON")],
            "last": lambda: [(names.last(), "PERSON")],
            "full": lambda: [(names.full(), "PERSON")],
            "titled": self._titled,
            "person": self._person,
            "title": lambda: [(chance.choice((self._job(), pick("titles", chance))), "TITLE")],
            "job": lambda: [(self._job(), "TITLE")],
            "job_lower": lambda: [(self._job().lower(), "TITLE")],
            "job_article": lambda: [("a ", "O"), (self._job().lower(), "TITLE")],
            "org": lambda: [(names.firm(), "ORGANIZATION")],
            "place": lambda: [(names.city() if chance.random() < 0.75 else names.country(), "LOCATION")],
            "country": lambda: [(names.country(), "LOCATION")],
            "nationality": lambda: [(pick("demonyms", chance), "NATIONALITY")],
            "nationality_plural": lambda: [(pick("people_of", chance), "NATIONALITY")],
            "address": lambda: [(addresses.whole(), "ADDRESS")],
            "block": lambda: [
                (addresses.military() if chance.random() < 0.12 else "\n".join((addresses.street(), addresses.town())), "ADDRESS")
            ],
            "street": lambda: [(addresses.street(), "ADDRESS")],
            "unit": lambda: [(addresses.unit(), "ADDRESS")],
            "corner": lambda: [(addresses.corner(), "ADDRESS")],
            "zip": lambda: [(addresses.zip(), "ADDRESS")],
            **{f"address_{code}": lambda: [(addresses.whole(), "ADDRESS")] for code in ("de", "fr", "es", "it", "nl")},
            "street_de": lambda: [(pick("streets", chance), "ADDRESS")],
            "date": lambda: [(self._date(), "DATE")],
            "date_de": lambda: [(f"{chance.randint(1, 28)}. {pick('months_de', chance)} {self._year()}", "DATE")],
            "date_es": lambda: [(f"{chance.randint(1, 28)} de {pick('months_es', chance)} de {self._year()}", "DATE")],
            "year": lambda: [(self._year(), "DATE")],
            "month": lambda: [(pick("months", chance), "DATE")],
            "weekday": lambda: [(pick("weekdays", chance), "DATE")],
            "age": lambda: [(str(chance.randint(1, 99)), "AGE")],
            "quoted": lambda: [(" ".join(w.capitalize() for w in ("the", pick("adjectives", chance), pick("things", chance))), "O")],
            "email": lambda: [(names.fakers["en_US"].email(), "OTHER")],
            "phone": lambda: [(self._phone(), "PHONE")],
            "license": lambda: [(self._license(), "NUMBER")],
            "card": lambda: [(names.fakers["en_US"].credit_card_number(), "NUMBER")],
            "iban": lambda: [(names.fakers["en_GB"].iban(), "NUMBER")],
            "ssn": lambda: [(names.fakers["en_US"].ssn(), "NUMBER")],
            "url": lambda: [(names.fakers["en_US"].url(), "OTHER")],
            "ip": lambda: [(names.fakers["en_US"].ipv4(), "OTHER")],
        }

    def _person(self) -> list[Piece]:
        return self._chance.choice((self._slots["full"], self._slots["first"], self._titled))()

    def _titled(self) -> list[Piece]:
        name = self._names.last() if self._chance.random() < 0.6 else self._names.full()
        return [(self._words.pick("titles", self._chance), "TITLE"), (" ", "O"), (name, "PERSON")]

    def _job(self) -> str:
        job = str(self._names.fakers["en_US"].job())
        return job if self._chance.random() < 0.3 else job.split(",")[0]

    def _phone(self) -> str:
        if self._chance.random() < 0.6:
            return str(self._names.fakers[self._chance.choice(_PHONES)].phone_number())
        groups = [self._digits(self._chance.randint(2, 4)) for _ in range(self._chance.randint(2, 4))]
        head = self._chance.choice(("", "", "0", "(0) ", "+" + self._digits(2) + " "))
        if self._chance.random() < 0.3:
            groups[0] = f"({groups[0]})"
        return head + self._chance.choice((" ", " ", "-", ".")).join(groups)

    def _license(self) -> str:
        letters = "".join(self._chance.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(self._chance.choice((0, 0, 1, 1, 2, 3))))
        if self._chance.random() < 0.2:
            return "-".join(self._digits(self._chance.randint(2, 4)) for _ in range(3))
        return letters + self._digits(self._chance.randint(6, 14))

    def _digits(self, count: int) -> str:
        return "".join(str(self._chance.randint(0, 9)) for _ in range(count))

    def _year(self) -> str:
        return str(self._chance.randint(1900, 2029))

    def _date(self) -> str:
        chance, pick = self._chance, self._words.pick
        day, month, year = chance.randint(1, 28), chance.randint(1, 12), self._year()
        makers = (
            lambda: f"{month}/{day}/{year}",
            lambda: f"{day:02d}/{month:02d}/{year}",
            lambda: f"{day}.{month}.{year}",
            lambda: f"{year}-{month:02d}-{day:02d}",
            lambda: f"{year}-{month:02d}-{day:02d} {chance.randint(0, 23):02d}:{chance.randint(0, 59):02d}:{chance.randint(0, 59):02d}",
            lambda: f"{pick('months', chance)} {day}, {year}",
            lambda: f"{pick('months', chance)} {day}",
            lambda: f"{day} {pick('months', chance)} {year}",
            lambda: f"{day} {pick('short_months', chance)} {year[2:]}",
            lambda: f"{pick('months', chance)} {year}",
            lambda: pick("weekdays", chance),
            lambda: year,
        )
        return chance.choice(makers)()


def _lines(name: str) -> tuple[str, ...]:
    return tuple(line.replace("\\n", "\n") for line in (_FOLDER / name).read_text().splitlines() if line)


def _joined(pieces: list[Piece]) -> Example:
    text = ""
    spans: list[tuple[int, int, str]] = []
    for piece, label in pieces:
        if label != "O":
            spans.append((len(text), len(text) + len(piece), label))
        text += piece
    return Example(text, tuple(spans))
