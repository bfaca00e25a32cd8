"""Receipts that agents' policies let leave their site: what is told of one in the hub's log."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contract.errors import InvalidRequest, Reason
from contract.leaves import canonical, leaf_text
from contract.merkle import leaf_hash
from contract.tree_heads import written
from hub.audit.messages import receipt_message

LONGEST_LEAF_BYTES = 65_536
"""Of ids of policies, a receipt may name as many as a policy of 20,000 characters holds."""


@dataclass(frozen=True, slots=True)
class ReceiptEntry:
    """One receipt, as its agent has told it.

    Args:
        time: when it came, UTC.
        agent: whose log it is in.
        number: its place there.
        text: the leaf of the agent's log.
    """

    time: datetime
    agent: str
    number: int
    text: str

    @property
    def receipt_hash(self) -> bytes:
        """Of the leaf in the agent's tree."""
        return leaf_hash(self.text.encode())

    def leaf(self) -> str:
        """Returns the text that stands in the hub's log. The receipt is in it as it was: it has one form only."""
        return leaf_text(_fields(self))


def read_receipt(entry: ReceiptEntry) -> ReceiptEntry:
    """Checks that an entry is one that can be kept and shown.

    Raises:
        InvalidRequest: FIELD_INVALID.
    """
    if entry.number < 0 or len(entry.text) > LONGEST_LEAF_BYTES:
        raise _invalid(f"each has a place in the log, and at most {LONGEST_LEAF_BYTES} bytes")
    try:
        is_one = canonical(json.loads(entry.text)) == entry.text
        receipt_message(_fields(entry))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _invalid("a leaf is none") from error
    if not is_one:
        raise _invalid("a leaf is not in canonical form")
    return entry


def _fields(entry: ReceiptEntry) -> dict[str, Any]:
    receipt = json.loads(entry.text)
    return {"agent": entry.agent, "time": written(entry.time), "receipt_number": entry.number, "receipt": receipt}


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.FIELD_INVALID, f"receipts are leaves of the caller's own log: {why}.")
