"""The chain of an agent's heads: each names the one before it, and since when heads are kept.

So the oldest receipts cannot go together with all heads of their time: the oldest head that is left names one that is missing. What was
forgotten in order is older than what a head has signed as `kept_since`.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from contract.tree_heads import Previous, TreeHead, written


def forgotten_before(heads: Sequence[TreeHead], kept_since: datetime) -> datetime:
    """Returns what may be missing: all that is older.

    Args:
        heads: whatever their order.
        kept_since: what is younger should be kept now; in the past it may have been less.
    """
    return max([kept_since, *(head.chain.kept_since for head in heads if head.chain is not None)])


def chain_faults(heads: Sequence[TreeHead], kept_since: datetime) -> Iterator[str]:
    """Yields which heads are missing that may not be, and which do not fit.

    Args:
        heads: the smallest log first.
        kept_since: see forgotten_before.
    """
    bound = forgotten_before(heads, kept_since)
    for before, head in zip((None, *heads), heads, strict=False):
        yield from _link_faults(before, head, bound)


def contradiction(before: TreeHead, head: TreeHead) -> str:
    """Returns in which way a head says otherwise than one of the same log that was witnessed; empty: in none.

    Args:
        before: that was witnessed last.
        head: of a log at least as large.
    """
    if before.chain is None:
        return ""
    if head.size == before.size:
        return "" if head.hash() == before.hash() else f"its head of {head.size} receipts is another than the one that was witnessed"
    previous = head.chain.previous if head.chain is not None else None
    if previous is None:
        return f"its head of {head.size} receipts names none before it, and one of {before.size} was witnessed"
    if previous.size < before.size or (previous.size == before.size and previous.hash != before.hash()):
        return f"its head of {head.size} receipts leaves out the one of {before.size} that was witnessed"
    return ""


def _link_faults(before: TreeHead | None, head: TreeHead, bound: datetime) -> Iterator[str]:
    if head.chain is None:
        if before is not None and before.chain is not None:
            yield f"{_said(head)} names none before it, as older ones do"
        return
    previous = head.chain.previous
    if previous is None:
        if before is not None:
            yield f"{_said(head)} says that it is the first, and one of {before.size} is here"
    elif before is not None and previous.size <= before.size:
        if previous.hash != before.hash():
            yield f"{_said(before)} is not the one that the head of {head.size} names: it was changed, or put there"
    elif previous.time >= bound:
        yield f"{_said(previous)} is missing, and is younger than receipt_seconds: the next one names it"


def _said(head: TreeHead | Previous) -> str:
    return f"the head of {head.size} receipts, {written(head.time)},"
