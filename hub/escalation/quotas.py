"""Keeps an escalation within the quotas of its agent's groups: reserved before a provider is asked, settled when one has answered."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import structlog

from contract.errors import SeawallError, Unavailable
from hub.escalation.prompts import Completion, Escalation, TextDelta
from hub.fleet.quotas import Quotas, Reservation

MESSAGE_TOKENS = 16
"""What a model's chat template puts around a message, at most."""

_log = structlog.get_logger(__name__)


async def within_quotas(
    quotas: Quotas, escalation: Escalation, answer: AsyncGenerator[TextDelta | Completion, None]
) -> AsyncGenerator[TextDelta | Completion, None]:
    """Passes an answer on. One that breaks off counts as the most that it can have taken, since nobody says what it took.

    Args:
        quotas: of the fleet.
        escalation: what is asked.
        answer: not begun; no provider is asked where a quota is spent.

    Raises:
        QuotaSpent: QUOTA_SPENT.
        SeawallError: as the answer's.
    """
    begun = False
    async with aclosing(answer):
        reservation = await quotas.reserve(escalation.agent_id, most_tokens(escalation))
        try:
            async for piece in answer:
                begun = True
                if isinstance(piece, Completion):
                    yield replace(piece, budget_tokens=await _settle(quotas, reservation, taken(escalation, piece)))
                else:
                    yield piece
        except SeawallError:
            if not begun:
                await _settle(quotas, reservation, None)
            raise


def most_tokens(escalation: Escalation) -> int:
    """Returns how many tokens an escalation can take, in and out."""
    return _most_input(escalation) + escalation.max_output_tokens


def taken(escalation: Escalation, completion: Completion) -> int:
    """Returns how many tokens an answer took; where the provider does not say, the most that it can have."""
    finish = completion.finish
    return (finish.input_tokens or _most_input(escalation)) + (finish.output_tokens or escalation.max_output_tokens)


def _most_input(escalation: Escalation) -> int:
    """A token stands for a byte of UTF-8 at least."""
    return sum(len(turn.content.encode()) + MESSAGE_TOKENS for turn in escalation.turns)


async def _settle(quotas: Quotas, reservation: Reservation, tokens: int | None) -> int | None:
    """Counts what was taken; None: nothing. Returns what is left. A store that is away keeps the most as spent, and the answer goes on."""
    try:
        if tokens is not None:
            return await quotas.settle(reservation, tokens)
        await quotas.release(reservation)
    except Unavailable as error:
        _log.warning("quota not settled", groups=list(reservation.group_ids), tokens=reservation.tokens, reason=error.reason)
    return None
