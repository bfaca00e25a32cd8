"""What both ends of what carries rounds agree on: how they use Flower, and the frames on the pipe to the child that speaks it.

    frame = kind, 1 byte · cohort, 4 bytes · stage, 4 bytes · length of the name, 2 bytes · length of the body, 4 bytes · name, UTF-8 · body

Numbers are big-endian.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from contract.errors import InvalidRequest, Reason

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Flower reads these when it is imported, and calls out where they are not set; numpy, which it brings, would begin a thread a core."""

MESSAGE_TYPE = "query"
RECORD, ENTRY = "round", "message"
"""Where a stage's message lies in Flower's."""

MOST_BYTES = 1024 * 1024
"""Of a stage's message: as `contract.secagg.wire` has it."""

LONGEST_ROUND_SECONDS = 1800.0
"""Flower takes no longer interval between signs of life."""

_HEAD = struct.Struct(">BIIHI")


class FrameKind(IntEnum):
    """What a frame says, and who says it."""

    BEGIN = 1  # to the child, first and once: what it needs, JSON
    READY = 2  # from the hub's child: it listens
    ADMIT = 3  # to the hub's child: the node of an agent, whose public key is the body, may come
    EXPEL = 4  # to the hub's child: that of an agent may no more
    PRESENT = 5  # from the hub's child: an agent's node is there
    ABSENT = 6  # from the hub's child: it is not
    MESSAGE = 7  # towards the device: a stage's message
    ANSWER = 8  # towards the hub: the answer to it
    REFUSAL = 9  # towards the hub: there is none
    END = 10  # to the hub's child: the cohort's round is over


@dataclass(frozen=True, slots=True)
class Frame:
    """One of them.

    Args:
        kind: what it says.
        stage: counts what the hub sends; 0: of none.
        name: an agent's id; empty: of none.
        body: a message, or what the kind has.
        cohort: the hub's number of the one that it is about; 0: of none, as always on a device.
    """

    kind: FrameKind
    stage: int = 0
    name: str = ""
    body: bytes = b""
    cohort: int = 0

    def to_bytes(self) -> bytes:
        """Returns it as it goes over the pipe."""
        name = self.name.encode()
        return _HEAD.pack(self.kind, self.cohort, self.stage, len(name), len(self.body)) + name + self.body


class Frames:
    """Puts together what comes over a pipe in pieces."""

    def __init__(self) -> None:
        self._content = bytearray()

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """Yields the frames that are whole with this piece.

        Raises:
            InvalidRequest: ROUND_MESSAGE_INVALID, they are none.
        """
        self._content += piece
        while (frame := self._take()) is not None:
            yield frame

    def _take(self) -> Frame | None:
        if len(self._content) < _HEAD.size:
            return None
        kind, cohort, stage, name_bytes, body_bytes = _HEAD.unpack_from(self._content)
        if kind not in set(FrameKind) or body_bytes > MOST_BYTES:
            raise InvalidRequest(Reason.ROUND_MESSAGE_INVALID, "What came over the pipe is no frame: end the round.")
        end = _HEAD.size + name_bytes + body_bytes
        if len(self._content) < end:
            return None
        name = self._content[_HEAD.size : _HEAD.size + name_bytes]
        body = bytes(self._content[_HEAD.size + name_bytes : end])
        del self._content[:end]
        try:
            return Frame(FrameKind(kind), stage, name.decode(), body, cohort)
        except UnicodeDecodeError as error:
            raise InvalidRequest(Reason.ROUND_MESSAGE_INVALID, "What came over the pipe names nobody: end the round.") from error
