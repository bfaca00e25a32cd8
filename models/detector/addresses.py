"""Postal addresses for synthetic text, as many countries write them and as people mangle them."""

import random
from collections.abc import Callable

from models.detector.people import Names


class Addresses:
    """Makes addresses.

    Args:
        names: where names come from.
    """

    def __init__(self, names: Names) -> None:
        self._names = names

    @property
    def _chance(self) -> random.Random:
        return self._names.chance

    def number(self) -> str:
        """Returns a house number."""
        number = str(self._chance.choice((self._chance.randint(1, 200), self._chance.randint(1, 200), self._chance.randint(200, 99999))))
        return number + self._chance.choice(
            ("", "", "", "", "", "a", "B", "-" + str(self._chance.randint(1, 9)), "/" + str(self._chance.randint(1, 40)))
        )

    def english_street(self) -> str:
        """Returns a street of an English-speaking country, with or without a number."""
        names, chance = self._names, self._chance
        name = chance.choice(
            (names.last(), names.words.pick("street_words", chance), names.words.pick("street_words", chance), names.first())
        )
        if chance.random() < 0.2:
            name += " " + names.words.pick("street_words", chance)
        return f"{name} {names.words.pick('street_kinds', chance)}"

    def street(self) -> str:
        """Returns a street with its number, of any country."""
        names, chance = self._names, self._chance
        roll = chance.random()
        if roll < 0.35:
            return f"{self.number()} {self.english_street()}"
        if roll < 0.45:
            return str(names.faker().street_address()).replace("\n", " ")
        street = names.words.pick("streets", chance) if roll < 0.7 else str(names.faker().street_name())
        if roll > 0.95:
            return f"{self.number()} {street} {names.words.pick('street_kinds', chance)}"
        return (
            f"{self.number()}, {street}"
            if chance.random() < 0.15
            else chance.choice((f"{street} {self.number()}", f"{street} {self.number()}", f"{self.number()} {street}"))
        )

    def corner(self) -> str:
        """Returns a crossing."""
        first = self.street() if self._chance.random() < 0.6 else self.english_street()
        second = self.english_street() if self._chance.random() < 0.6 else self._names.words.pick("streets", self._chance)
        if self._chance.random() < 0.2:
            first = self._names.first()
        return self._chance.choice(("the corner of {} and {}", "{} and {}", "{} & {}", "{} at {}")).format(first, second)

    def unit(self) -> str:
        """Returns a flat or a suite."""
        number = self._chance.randint(1, 999)
        word = self._chance.choice(
            ("Apt.", "Apt", "Suite", "Suite", "Unit", "Flat", "Floor", "Room", "Ste", "#", "App.", "2. OG", "Stiege", "3º")
        )
        return f"{word} {number:03d}" if self._chance.random() < 0.4 else f"{word} {number}"

    def zip(self) -> str:
        """Returns a postal code of some country."""
        chance = self._chance
        form = chance.choice(
            (
                "#####",
                "#####",
                "#####",
                "####",
                "####",
                "#####-####",
                "### ##",
                "##-###",
                "#### @@",
                "#####-###",
                "@# #@@",
                "@@## #@@",
                "@#@ #@#",
                "######",
                "####-###",
                "@-####",
                "###",
            )
        )
        return "".join(str(chance.randint(0, 9)) if c == "#" else chance.choice("ABCDEFGHJKLMNPRSTUVWXY") if c == "@" else c for c in form)

    def military(self) -> str:
        """Returns an address of the United States' forces."""
        chance = self._chance
        post = f"{chance.choice(('APO', 'FPO', 'DPO'))} {chance.choice(('AA', 'AE', 'AP'))} {chance.randint(10000, 99999):05d}"
        ship = f"{chance.choice(('USS', 'USNS', 'USNV', 'USCGC'))} {self._names.last()}"
        box = f"{chance.choice(('PSC', 'Unit', 'CMR'))} {chance.randint(1000, 9999)}, Box {chance.randint(1000, 9999)}"
        return chance.choice((ship, box)) + chance.choice(("\n", "\n", ", ", " ")) + post

    def town(self) -> str:
        """Returns a town with its code, as the last line of an address has it."""
        names, chance = self._names, self._chance
        city = names.city()
        if chance.random() < 0.1:
            city = city.upper()
        code = self.zip()
        makers: tuple[Callable[[], str], ...] = (
            lambda: f"{code} {city}",
            lambda: f"{city} {code}",
            lambda: f"{city}, {names.fakers['en_US'].state_abbr()} {code}",
            lambda: f"{city}, {names.country()} {code}",
            lambda: f"{city}, {code}",
            lambda: f"{code} {city}, {names.country()}",
            lambda: f"{city} {names.country()}",
            lambda: city,
        )
        return chance.choice(makers)()

    def whole(self) -> str:
        """Returns an address with several parts, on one line or several."""
        chance = self._chance
        if chance.random() < 0.08:
            return self.military()
        parts = [self.street()]
        if chance.random() < 0.15:
            parts[0] = self.zip() + " " + parts[0]
        if chance.random() < 0.35:
            parts.append(self.unit())
        if chance.random() < 0.7:
            parts.append(self.town())
        if len(parts) > 1 and chance.random() < 0.2:
            parts.append(self._names.country())
        between = chance.choice((", ", ", ", " ", "\n", "\n ", ",\n"))
        return between.join(parts)
