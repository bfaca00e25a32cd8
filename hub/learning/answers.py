"""What nodes may leave in Flower's memory: one answer to each message, of few objects and few bytes.

Flower takes an answer again, with whatever objects come with it then, and begins a session for each time, even where it takes nothing. So
an answer is announced once: who announces it again, since a link has broken, says the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from contract.carrying import MOST_BYTES

MOST_OBJECTS = 8
"""Of one answer; ours have three."""

MOST_ANSWER_BYTES = MOST_BYTES + 64 * 1024
"""Of all its objects: a message, and what Flower wraps it in."""

MOST_TIMES = 64
"""An answer may be announced: a device tries for twenty seconds, and a dozen times meanwhile."""


@dataclass(slots=True)
class Answer:
    """To one message, as it was announced first.

    Args:
        node: that may bring it.
        object_ids: of all its objects, its own the last; empty: it is still to be announced.
        times: that it was announced.
        sizes_bytes: by object, the most that was brought for it.
    """

    node: int
    object_ids: tuple[str, ...] = ()
    times: int = 0
    sizes_bytes: dict[str, int] = field(default_factory=dict)


class Answers:
    """Those to all messages of a cohort, also when they have come: a link may break after that."""

    def __init__(self) -> None:
        self._by_message: dict[str, Answer] = {}

    def ask(self, message_id: str, node: int) -> None:
        """Has an answer to a message be awaited from a node."""
        self._by_message[message_id] = Answer(node)

    def object_ids(self, message_id: str) -> Sequence[str]:
        """Returns the ids of all that an answer to a message has brought, its own the last."""
        return self._by_message[message_id].object_ids

    def may_announce(self, node: int, message_id: str, answer_id: str, object_ids: Sequence[str]) -> bool:
        """Says whether a node may announce this answer, and remembers that it has.

        Args:
            node: that has proven who it is.
            message_id: that it answers.
            answer_id: that it says the answer has.
            object_ids: of the tree that it announces, the root's the last.
        """
        answer = self._by_message.get(message_id)
        if answer is None or answer.node != node or answer.times == MOST_TIMES or not _is_one_answer(answer_id, object_ids):
            return False
        answer.times += 1
        answer.object_ids = answer.object_ids or tuple(object_ids)
        return answer.object_ids == tuple(object_ids)

    def may_bring(self, node: int, object_id: str, size_bytes: int) -> bool:
        """Says whether a node may bring an object: it has announced it, and it is not too much."""
        for answer in self._by_message.values():
            if answer.node == node and object_id in answer.object_ids:
                sizes = {**answer.sizes_bytes, object_id: max(size_bytes, answer.sizes_bytes.get(object_id, 0))}
                if sum(sizes.values()) <= MOST_ANSWER_BYTES:
                    answer.sizes_bytes = sizes
                    return True
        return False


def _is_one_answer(answer_id: str, object_ids: Sequence[str]) -> bool:
    return 0 < len(object_ids) <= MOST_OBJECTS and object_ids[-1] == answer_id
