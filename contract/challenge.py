"""A spot check of a log: the command that asks for it says which leaves are to be proven, and the agent cannot choose them.

Which ones is drawn from the command's name, which the agent does not know before. The answer holds hashes alone.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from contract.errors import InvalidRequest, Reason
from contract.leaves import canonical
from contract.merkle import Nodes, inclusion_proof, is_included
from contract.tree_heads import TreeHead

USUAL_LEAVES = 10
MOST_LEAVES = 32
"""An answer is at most about 60,000 characters."""


def drawn(name: str, wanted: int, size: int) -> list[int]:
    """Returns the places of the leaves to be proven, each once, in order.

    Args:
        name: of the command.
        wanted: how many, 0: as many as is usual; of a small log, or by chance, it may be fewer.
        size: of the log.
    """
    count = min(wanted if wanted > 0 else USUAL_LEAVES, MOST_LEAVES)
    digests = (hashlib.sha256(f"{name}\0{number}".encode()).digest() for number in range(count))
    return sorted({int.from_bytes(digest, "big") % size for digest in digests}) if size else []


def answer(nodes: Nodes, name: str, wanted: int, head: TreeHead) -> str:
    """Returns the answer of who keeps the log.

    Args:
        nodes: of the log.
        name: of the command.
        wanted: how many.
        head: that was witnessed last.

    Raises:
        LookupError: the log is damaged.
    """
    lines: list[dict[str, Any]] = [head.to_dict()]
    for number in drawn(name, wanted, head.size):
        path = [item.hex() for item in inclusion_proof(nodes, number, head.size)]
        lines.append({"number": number, "leaf_hash": nodes(0, number).hex(), "inclusion_proof": path})
    return "\n".join(canonical(line) for line in lines)


def faults(text: str, name: str, wanted: int, head: TreeHead) -> Iterator[str]:
    """Yields what is wrong with an answer, a sentence each.

    Args:
        text: the answer.
        name: of the command.
        wanted: how many.
        head: that was witnessed last.

    Raises:
        InvalidRequest: JSON_INVALID, it is no answer.
    """
    said, proofs = _read(text)
    if said != head.to_dict():
        yield f"it is about another head than the one of {head.size} receipts that was witnessed last"
        return
    expected = drawn(name, wanted, head.size)
    if [number for number, _, _ in proofs] != expected:
        yield "it does not prove the receipts that were asked for"
    for number, leaf, path in proofs:
        if not is_included(leaf, number, head.size, path, head.root):
            yield f"receipt {number} is not proven to be in the log that was witnessed"


def _read(text: str) -> tuple[dict[str, Any], Sequence[tuple[int, bytes, list[bytes]]]]:
    try:
        said, *lines = [dict(json.loads(line)) for line in text.splitlines()]
        return said, [
            (int(line["number"]), bytes.fromhex(line["leaf_hash"]), [bytes.fromhex(item) for item in line["inclusion_proof"]])
            for line in lines
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidRequest(Reason.JSON_INVALID, "The agent's answer is no proof: see whether its version is the hub's.") from error
