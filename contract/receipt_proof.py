"""A proof that a receipt was logged: a JSON document that anybody can check without the agent, the hub or this program.

All bytes are hexadecimal; the form is described in docs/runbooks/audit.md.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contract.errors import InvalidRequest, Reason
from contract.identity import key_hash
from contract.leaves import FORMAT_VERSION
from contract.merkle import is_included, leaf_hash
from contract.tree_heads import SignedHead, TreeHead, Witness, written


@dataclass(frozen=True, slots=True)
class ReceiptProof:
    """That a receipt is in a log.

    Args:
        leaf: the receipt's text.
        number: its place in the log, from 0.
        signed: a head of the log.
        path: from the leaf to the head's root.
        witness: the hub's word for the head; None: there is none yet.
    """

    leaf: str
    number: int
    signed: SignedHead
    path: tuple[bytes, ...]
    witness: Witness | None

    def faults(self) -> Iterator[str]:
        """Yields what is wrong with it, a sentence each."""
        head = self.signed.head
        if not is_included(leaf_hash(self.leaf.encode()), self.number, head.size, self.path, head.root):
            yield "the path does not lead from the receipt to the head's root: one of them was changed"
        if self.signed.is_signed and not self.signed.is_good():
            yield "the head is not signed by the key that is named"
        if self.witness is not None and not self.witness.is_good(self.signed):
            yield "the hub's word is not signed by the key that is named, or is about another head"

    def vouchers(self) -> str:
        """Says who vouches for it; the reader must know their keys."""
        signer = f"signed with the key {key_hash(self.signed.public_key)}" if self.signed.is_signed else "signed by nobody"
        witness = "witnessed by nobody" if self.witness is None else f"witnessed by the hub's key {key_hash(self.witness.public_key)}"
        return f"receipt {self.number} of {self.signed.head.log}, {written(self.signed.head.time)}: {signer}, {witness}"

    def to_dict(self) -> dict[str, Any]:
        """Returns the document."""
        witness = self.witness
        return {
            "format_version": FORMAT_VERSION,
            "leaf": self.leaf,
            "number": self.number,
            "inclusion_proof": [item.hex() for item in self.path],
            "tree_head": self.signed.head.to_dict(),
            "public_key": self.signed.public_key.hex(),
            "signature": self.signed.signature.hex(),
            "witness": None
            if witness is None
            else {"time": written(witness.time), "public_key": witness.public_key.hex(), "signature": witness.signature.hex()},
        }

    @classmethod
    def from_json(cls, text: str | bytes) -> "ReceiptProof":
        """Reads a document.

        Raises:
            InvalidRequest: JSON_INVALID, it is none.
        """
        try:
            content = json.loads(text)
            if content["format_version"] != FORMAT_VERSION:
                raise InvalidRequest(Reason.JSON_INVALID, "A newer version has made this proof: check it with that one.")
            head, witness = content["tree_head"], content["witness"]
            return cls(
                str(content["leaf"]),
                int(content["number"]),
                SignedHead(TreeHead.from_dict(head), bytes.fromhex(content["public_key"]), bytes.fromhex(content["signature"])),
                tuple(bytes.fromhex(item) for item in content["inclusion_proof"]),
                None if witness is None else _read_witness(witness),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidRequest(
                Reason.JSON_INVALID, "This is no proof of a receipt: make one with seawall-agent receipts prove."
            ) from error


def _read_witness(content: dict[str, str]) -> Witness:
    return Witness(datetime.fromisoformat(content["time"]), bytes.fromhex(content["public_key"]), bytes.fromhex(content["signature"]))
