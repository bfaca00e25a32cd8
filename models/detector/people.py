"""Names of persons, firms and places for synthetic text. Faker's lists, and names that are in no list."""

import random
import tomllib
from dataclasses import dataclass
from pathlib import Path

from faker import Faker

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Words:
    """The lists of words.toml, by name."""

    lists: dict[str, tuple[str, ...]]

    def pick(self, name: str, chance: random.Random) -> str:
        """Returns a word of a list."""
        return chance.choice(self.lists[name])


def read_words() -> Words:
    """Reads words.toml."""
    lists = tomllib.loads((_FOLDER / "words.toml").read_text())
    return Words({name: tuple(word.replace("_", " ") for word in words.split()) for name, words in lists.items()})


class Names:
    """Makes names.

    Args:
        chance: what decides.
        words: see read_words.
    """

    def __init__(self, chance: random.Random, words: Words) -> None:
        self.chance = chance
        self.words = words
        self.fakers = {locale.replace("-", "_"): Faker(locale.replace("-", "_")) for locale in words.lists["locales"]}
        for locale, faker in self.fakers.items():
            faker.seed_instance(f"{chance.random()} {locale}")

    def faker(self) -> Faker:
        """Returns the Faker of some country; English-speaking ones more often."""
        if self.chance.random() < 0.3:
            return self.fakers[self.chance.choice(("en_US", "en_GB", "en_CA"))]
        return self.fakers[self.words.pick("locales", self.chance).replace("-", "_")]

    def first(self) -> str:
        """Returns a first name, or a surname that is used as one."""
        if self.chance.random() < 0.08:
            return self._invented()
        return str(self.faker().first_name())

    def last(self) -> str:
        """Returns a surname."""
        roll = self.chance.random()
        if roll < 0.10:
            return self._invented()
        if roll < 0.14:
            return self.words.pick("firm_words", self.chance)  # people are called Stone, Fox and May
        return str(self.faker().last_name())

    def full(self) -> str:
        """Returns a first name and a surname, in one of the forms that people write."""
        faker = self.faker()
        first, last, chance = str(faker.first_name()), str(faker.last_name()), self.chance
        roll = chance.random()
        if roll < 0.12:
            return f"{first} {chance.choice('ABCDEFGHJKLMNPRSTVW')}{chance.choice(('.', '.', ''))} {last}"
        if roll < 0.18:
            return f"{last}, {first}"
        if roll < 0.22:
            return f"{first} {self.first()} {last}"
        if roll < 0.26:
            return f"{first} {last}-{self.last()}"
        if roll < 0.29:
            return f"{first[0]}. {last}"
        if roll < 0.32:
            return f"{last} {first}"
        return f"{first} {last}"

    def firm(self) -> str:
        """Returns the name of a company, a paper, a hospital."""
        pick, chance = self.words.pick, self.chance
        makers = (
            lambda: str(self.faker().company()),
            lambda: str(self.fakers["en_US"].company()),
            self._coined,
            lambda: self._coined() + " " + pick("firm_forms", chance),
            lambda: pick("firm_words", chance) + pick("firm_words", chance),
            lambda: pick("firm_words", chance) + pick("firm_words", chance).lower(),
            lambda: pick("firm_words", chance) + " " + pick("firm_kinds", chance),
            lambda: pick("firm_words", chance) + " " + pick("firm_words", chance),
            lambda: " ".join((pick("firm_words", chance), pick("firm_words", chance), pick("firm_kinds", chance))),
            lambda: " ".join((pick("firm_words", chance), pick("firm_kinds", chance), pick("firm_forms", chance))),
            lambda: "The " + pick("firm_words", chance) + " " + pick("firm_kinds", chance),
            lambda: self.city() + " " + pick("firm_kinds", chance),
            lambda: pick("firm_words", chance) + " and " + pick("firm_words", chance),
            lambda: self.last() + " " + chance.choice(("& Sons", "& Co.", "Brothers", "Group", "Industries", "Ltd")),
            lambda: "".join(chance.choice("ABCDEFGHIKLMNOPRSTVWX") for _ in range(chance.randint(3, 4))),
        )
        return chance.choice(makers)()

    def city(self) -> str:
        """Returns a town."""
        if self.chance.random() < 0.06:
            return self._invented() + self.chance.choice(("", "", "ville", "stad", "burg", "grad", "ham"))
        return str(self.faker().city())

    def country(self) -> str:
        """Returns a country or one of its states, by its English name, now and then by its own."""
        roll = self.chance.random()
        if roll < 0.8:
            return str(self.fakers["en_US"].country())
        return str(self.fakers["en_US"].state() if roll < 0.92 else self.faker().country())

    def _invented(self) -> str:
        """A name in no list: the halves of two that are in one."""
        one, other = str(self.faker().last_name()), str(self.faker().first_name())
        return (one[: max(2, len(one) // 2)] + other[len(other) // 2 :].lower()).replace(" ", "")

    def _coined(self) -> str:
        parts = [self.words.pick("parts", self.chance) for _ in range(self.chance.randint(1, 2))]
        return ("".join(parts) + self.words.pick("ends", self.chance)).capitalize()
