"""Which class a text has, by the data that is in it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from types import MappingProxyType


class DataClass(IntEnum):
    """How sensitive a text is. A higher class never becomes a lower one."""

    PUBLIC = 1
    INTERNAL = 2
    CONFIDENTIAL = 3
    RESTRICTED = 4

    def __str__(self) -> str:
        return self.name.lower()


BY_NAME: Mapping[str, DataClass] = MappingProxyType({str(item): item for item in DataClass})


def stored_class(name: str) -> DataClass:
    """Returns a class by its name, as a receipt has it. One that nobody knows, of another version, is the highest."""
    return BY_NAME.get(name, DataClass.RESTRICTED)


def _kinds(data_class: DataClass, names: str) -> dict[str, DataClass]:
    return dict.fromkeys(names.split(), data_class)


KINDS: Mapping[str, DataClass] = MappingProxyType(
    _kinds(
        DataClass.RESTRICTED, "API_KEY PASSWORD PRIVATE_KEY CREDIT_CARD US_SSN NATIONAL_ID PASSPORT DRIVER_LICENSE MEDICAL_RECORD DENIED"
    )
    | _kinds(DataClass.CONFIDENTIAL, "PERSON STREET_ADDRESS EMAIL_ADDRESS PHONE_NUMBER DATE_OF_BIRTH AGE IBAN_CODE ACCOUNT_NUMBER")
    | _kinds(DataClass.CONFIDENTIAL, "LICENSE_PLATE COORDINATES IP_ADDRESS SITE_NAME")
    | _kinds(DataClass.INTERNAL, "ORGANIZATION INTERNAL_HOST")
    | _kinds(DataClass.PUBLIC, "LOCATION DATE_TIME TITLE NATIONALITY URL")
)
"""Every kind, and the class of a text that holds it.

The public ones say nothing of anybody by themselves, and stand in questions of general knowledge; beside others they tell who is meant, so
their places are found too, and go when the rest is redacted. DENIED and SITE_NAME come from a site's own lists.
"""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A place in a text.

    Args:
        start: its first character, in the text as it was given.
        end: the character after its last.
        kind: one of KINDS.
    """

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Classification:
    """What is known of a prompt's data. Holds no text.

    Args:
        data_class: the class.
        kinds: the kinds found that raise the class above public, sorted, each once.
        reasons: why the class is what it is, for the receipt.
    """

    data_class: DataClass
    kinds: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    def raised(self, floor: DataClass, why: str) -> "Classification":
        """Returns it with at least a class, and why where that is more than it was."""
        if floor <= self.data_class:
            return self
        return replace(self, data_class=floor, reasons=(*self.reasons, why))


def class_of(kind: str) -> DataClass:
    """Returns what a kind means; one that is not known means restricted."""
    return KINDS.get(kind, DataClass.RESTRICTED)


def classify(kinds: Iterable[str], *floors: DataClass) -> Classification:
    """Turns what was found into a class: the highest of the kinds' and the floors'.

    Args:
        kinds: of personal data and secrets found in the prompt and its history.
        floors: the least classes that the result may have: the site's, the topic's, the key's, the conversation's.
    """
    found = tuple(sorted({kind for kind in kinds if class_of(kind) > DataClass.PUBLIC}))
    told = max((class_of(kind) for kind in found), default=DataClass.PUBLIC)
    floor = max(floors, default=DataClass.PUBLIC)
    reasons = ("data-found",) if found else ("nothing-found",) if floor is DataClass.PUBLIC else ()
    if floor > told:
        reasons = (*reasons, "floor")
    return Classification(max(told, floor), found, reasons)


def unclassifiable() -> Classification:
    """The class of a text whose detectors failed: restricted, so that it stays."""
    return Classification(DataClass.RESTRICTED, (), ("classifier-failed",))
