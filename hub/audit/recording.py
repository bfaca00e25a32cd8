"""Writes down how each escalation ended, before its end is told."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from contract.errors import Reason, SeawallError
from hub.audit.entries import ANSWERED, CANCELLED, entry_of
from hub.audit.trail import Trail
from hub.escalation.prompts import Completion, Escalation, TextDelta


async def recorded(
    trail: Trail, escalation: Escalation, answer: AsyncGenerator[TextDelta | Completion, None]
) -> AsyncGenerator[TextDelta | Completion, None]:
    """Passes an answer on. Whatever ends it, one entry says so.

    Args:
        trail: where that is written.
        escalation: what is asked.
        answer: not begun.

    Raises:
        SeawallError: as the answer's.
    """
    outcome, is_noted = CANCELLED, False
    try:
        async with aclosing(answer):
            async for piece in answer:
                if isinstance(piece, Completion):
                    is_noted = True
                    await trail.add(entry_of(escalation, piece, ANSWERED, trail.clock(), trail.providers))
                yield piece
    except SeawallError as error:
        outcome = error.reason
        raise
    except Exception:
        outcome = Reason.INTERNAL
        raise
    finally:
        if not is_noted:
            await trail.add(entry_of(escalation, None, outcome, trail.clock(), trail.providers))
