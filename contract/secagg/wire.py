"""Bytes of messages: a kind, and fields with their lengths. One value has one form, so that a hash of bytes is one of the value.

A message is `SWR1`, one byte for its kind, and for each field four bytes of length, big-endian, and the field.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum

from contract.errors import InvalidRequest, PayloadTooLarge, Reason
from contract.identity import AGENT_ID

MAGIC = b"SWR1"
MOST_BYTES = 1024 * 1024
"""Of one message; the longest is a masked vector, of 131,000 entries at most."""
MOST_FIELDS = 200
"""No honest message of a cohort of 64 has more."""

_LENGTH_BYTES = 4


class Kind(IntEnum):
    """What a message is."""

    PLAN = 1
    KEYS = 2
    KEY_LIST = 3
    SHARES = 4
    DELIVERY = 5
    MASKED = 6
    SURVIVORS = 7
    CONSENT = 8
    CONSENTS = 9
    UNMASKING = 10


def pack(kind: Kind, fields: Iterable[bytes]) -> bytes:
    """Returns a message's bytes."""
    return MAGIC + bytes([kind]) + b"".join(len(field).to_bytes(_LENGTH_BYTES, "big") + field for field in fields)


def kind_of(content: bytes) -> Kind:
    """Returns what some bytes say they are.

    Raises:
        PayloadTooLarge: PAYLOAD_TOO_LARGE.
        InvalidRequest: ROUND_MESSAGE_INVALID, they are no message.
    """
    if len(content) > MOST_BYTES:
        raise PayloadTooLarge(Reason.PAYLOAD_TOO_LARGE, f"A message of a round has at most {MOST_BYTES} bytes: send fewer entries.")
    if len(content) <= len(MAGIC) or not content.startswith(MAGIC) or content[len(MAGIC)] not in set(Kind):
        raise invalid("it does not begin as one")
    return Kind(content[len(MAGIC)])


def unpack(content: bytes, kind: Kind, least_fields: int) -> list[bytes]:
    """Returns a message's fields.

    Args:
        content: the whole message.
        kind: that it has to be.
        least_fields: how many it has at least.

    Raises:
        PayloadTooLarge: PAYLOAD_TOO_LARGE.
        InvalidRequest: ROUND_MESSAGE_INVALID.
    """
    if kind_of(content) is not kind:
        raise invalid(f"it is no {kind.name}")
    fields, place = list[bytes](), len(MAGIC) + 1
    while place < len(content):
        begin = place + _LENGTH_BYTES
        place = begin + int.from_bytes(content[place:begin], "big")
        if place > len(content) or len(fields) == MOST_FIELDS:
            raise invalid("it is cut off, or has too many fields")
        fields.append(content[begin:place])
    if len(fields) < least_fields:
        raise invalid("fields are missing")
    return fields


def number(field: bytes, size_bytes: int) -> int:
    """Reads a whole number of so many bytes, big-endian."""
    return int.from_bytes(exactly(field, size_bytes), "big")


def exactly(field: bytes, size_bytes: int) -> bytes:
    """Returns a field that has to have so many bytes."""
    if len(field) != size_bytes:
        raise invalid(f"a field of {size_bytes} bytes has {len(field)}")
    return field


def names(fields: Sequence[bytes]) -> tuple[str, ...]:
    """Reads agents' ids, sorted, each once.

    Raises:
        InvalidRequest: NAME_REPEATED, or ROUND_MESSAGE_INVALID.
    """
    found = tuple(name(field) for field in fields)
    if len(set(found)) != len(found):
        raise InvalidRequest(Reason.NAME_REPEATED, "A device is listed twice: list each once.")
    if list(found) != sorted(found):
        raise invalid("devices are not sorted by name")
    return found


def name(field: bytes) -> str:
    """Reads an agent's id."""
    text = field.decode("ascii", "replace")
    if not AGENT_ID.fullmatch(text):
        raise invalid("a name is no agent's id")
    return text


def invalid(why: str) -> InvalidRequest:
    """Returns the error for what is no message."""
    return InvalidRequest(Reason.ROUND_MESSAGE_INVALID, f"The round's message cannot be read: {why}. See that versions agree.")
