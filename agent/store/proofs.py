"""Makes proofs that receipts were logged."""

from sqlite_utils import Database as Tables

from agent.store.heads import KeptHead, read_head
from agent.store.receipt_tree import kept_nodes
from contract.challenge import answer
from contract.errors import NotFound, NotPossibleNow, Reason
from contract.merkle import inclusion_proof
from contract.receipt_proof import ReceiptProof


def prove(tables: Tables, receipt_id: str) -> ReceiptProof:
    """Returns the proof, under the first witnessed head behind the receipt, or where there is none, the first head.

    Raises:
        NotFound: RECEIPT_NOT_FOUND.
        NotPossibleNow: LOG_DAMAGED; LOG_NOT_SIGNED, no head was made since.
    """
    row = tables.execute("SELECT leaf, receipt FROM receipts WHERE receipt_id = ?", [receipt_id]).fetchone()
    if row is None:
        raise NotFound(
            Reason.RECEIPT_NOT_FOUND, "There is no such receipt: seawall-agent receipts --json lists them; old ones are forgotten."
        )
    number, text = row
    if number is None:
        raise NotPossibleNow(Reason.LOG_DAMAGED, "This receipt stands beside the log: see what seawall-agent receipts verify says.")
    kept = _head_behind(tables, number)
    try:
        path = inclusion_proof(kept_nodes(tables), number, kept.size)
    except LookupError as error:
        raise _damaged(error) from error
    return ReceiptProof(text, number, kept.signed, tuple(path), kept.witness)


def prove_drawn(tables: Tables, name: str, wanted: int) -> str:
    """Returns the answer to a spot check, under the head that was witnessed last.

    Args:
        tables: the store.
        name: of the command.
        wanted: how many receipts.

    Raises:
        NotPossibleNow: LOG_NOT_SIGNED, none was witnessed; LOG_DAMAGED.
    """
    row = next(iter(tables.query("SELECT * FROM receipt_heads WHERE witness_time IS NOT NULL ORDER BY size DESC LIMIT 1")), None)
    if row is None:
        raise NotPossibleNow(Reason.LOG_NOT_SIGNED, "No head of the log of receipts was witnessed yet: ask again in six minutes.")
    try:
        return answer(kept_nodes(tables), name, wanted, read_head(row).signed.head)
    except LookupError as error:
        raise _damaged(error) from error


def _head_behind(tables: Tables, number: int) -> KeptHead:
    query = "SELECT * FROM receipt_heads WHERE size > ? ORDER BY witness_time IS NULL, size LIMIT 1"
    row = next(iter(tables.query(query, [number])), None)
    if row is None:
        raise NotPossibleNow(Reason.LOG_NOT_SIGNED, "No head was made since this receipt: a running agent makes one within six minutes.")
    return read_head(row)


def _damaged(error: Exception) -> NotPossibleNow:
    return NotPossibleNow(Reason.LOG_DAMAGED, f"The log of receipts is damaged ({error}): see what seawall-agent receipts verify says.")
