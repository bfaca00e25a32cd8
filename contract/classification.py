"""Which class a text has, by the data that is in it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class DataClass(IntEnum):
    """How sensitive a text is. A higher class never becomes a lower one."""

    PUBLIC = 1
    INTERNAL = 2
    CONFIDENTIAL = 3
    RESTRICTED = 4

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """Where something is in a text.

    Args:
        start: its first character.
        end: behind its last one.
        kind: of the data, such as PERSON.
    """

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Classification:
    """What is known of a prompt's data. Holds no text.

    Args:
        data_class: the class.
        kinds: the kinds found, sorted, each once.
        reasons: why the class is what it is, for the receipt.
    """

    data_class: DataClass
    kinds: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


def classify(kinds: Iterable[str], floor: DataClass = DataClass.PUBLIC) -> Classification:
    """Turns what was found into a class: anything found means restricted.

    Args:
        kinds: of personal data and secrets found in the prompt and its history.
        floor: the least class that the result may have.
    """
    found = tuple(sorted(set(kinds)))
    if found:
        return Classification(DataClass.RESTRICTED, found, ("data-found",))
    return Classification(floor, (), ("nothing-found",) if floor is DataClass.PUBLIC else ("floor",))


def unclassifiable() -> Classification:
    """The class of a text whose detectors failed: restricted, so that it stays."""
    return Classification(DataClass.RESTRICTED, (), ("classifier-failed",))
