"""Pieces of blobs as they travel: `seawall.hub.v1.BlobPiece`, written and read without copying what they bring.

The generated class copies the data twice on either side. What is written here is byte for byte what it writes, and what is read is read as
it reads it: https://protobuf.dev/programming-guides/encoding/.
"""

from dataclasses import dataclass
from typing import Final

from contract.errors import InvalidRequest
from contract.release import invalid_release

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_DIGEST: Final = 1 << 3 | _LENGTH
_OFFSET: Final = 2 << 3 | _VARINT
_STORED_SIZE: Final = 3 << 3 | _VARINT
_DATA: Final = 4 << 3 | _LENGTH

_FIXED_BYTES = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
_MAX_TAG = (1 << 32) - 1

_MAX_FIELDS = 64
"""A message of millions would hold its reader up."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a blob as it is stored.

    Args:
        digest: of the plain chunk.
        offset: of these bytes in the stored blob.
        stored_size_bytes: of the whole stored blob.
        data: the bytes.
    """

    digest: str
    offset: int
    stored_size_bytes: int
    data: bytes | memoryview

    def to_message(self) -> bytes:
        """Returns the piece as a message."""
        head = bytearray()
        for tag, number in ((_OFFSET, self.offset), (_STORED_SIZE, self.stored_size_bytes)):
            if number:
                head += bytes((tag,)) + _varint(number)
        digest = self.digest.encode()
        return b"".join((bytes((_DIGEST,)), _varint(len(digest)), digest, head, bytes((_DATA,)), _varint(len(self.data)), self.data))

    @classmethod
    def from_message(cls, message: bytes) -> "Piece":
        """Reads a piece. Its data is a view into the message; fields that are not known are passed over.

        Raises:
            InvalidRequest: RELEASE_INVALID, it is no such message.
        """
        digest, numbers, data = b"", {_OFFSET: 0, _STORED_SIZE: 0}, memoryview(b"")
        at = fields = 0
        while at < len(message):
            fields += 1
            tag, at = _read_varint(message, at)
            if fields > _MAX_FIELDS or not 8 <= tag <= _MAX_TAG:
                raise _unreadable()
            if tag in numbers:
                number, at = _read_varint(message, at)
                numbers[tag] = number - (1 << 64) if number >> 63 else number
                continue
            begin, at = _span(message, tag, at)
            if tag == _DIGEST:
                digest = message[begin:at]
            elif tag == _DATA:
                data = memoryview(message)[begin:at]
        try:
            return cls(digest.decode(), numbers[_OFFSET], numbers[_STORED_SIZE], data)
        except UnicodeDecodeError as error:
            raise _unreadable() from error


def _span(message: bytes, tag: int, at: int) -> tuple[int, int]:
    """Returns where the value of a field begins and ends."""
    kind = tag & 7
    if kind == _VARINT:
        return at, _read_varint(message, at)[1]
    size_bytes = _FIXED_BYTES.get(kind)
    if kind == _LENGTH:
        size_bytes, at = _read_varint(message, at)
    if size_bytes is None or size_bytes > len(message) - at:
        raise _unreadable()
    return at, at + size_bytes


def _varint(number: int) -> bytes:
    written = bytearray()
    number &= (1 << 64) - 1  # negative numbers have all ten bytes
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)
    return bytes(written)


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """Returns a number of at most 64 bits, and where it ends."""
    number = 0
    for place, byte in enumerate(message[at : at + 10]):
        number |= (byte & 127) << 7 * place
        if byte < 128:
            if number >> 64:
                break
            return number, at + place + 1
    raise _unreadable()


def _unreadable() -> InvalidRequest:
    return invalid_release("a piece of a blob is no message of its kind")
