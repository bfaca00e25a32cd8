"""Conducts the round of one cohort: five stages, each with a deadline; whoever is late in one is not asked in the next."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from contract.errors import SeawallError
from contract.secagg.messages import Plan
from contract.secagg.roster import Roster
from contract.secagg.server import Coordinator, Sum
from contract.secagg.wire import Kind
from hub.learning.grid import Grid

STAGES = (Kind.KEYS, Kind.SHARES, Kind.MASKED, Kind.CONSENT, Kind.UNMASKING)
"""What is awaited, in order."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Progress:
    """How far the round of a cohort is. It can be read while the round goes on.

    Args:
        stage: what is awaited, or was when the round ended.
        lost: how many did not answer in time, or wrongly, by what was awaited of them.
        exposed: who was sent the message on which a device spends its window; whether each has, the hub cannot know.
        sum: what the round came to; None: nothing yet.
        reason: why it came to nothing: a reason of `contract.errors`; empty: it has not failed.
    """

    stage: str = STAGES[0].name
    lost: dict[str, int] = field(default_factory=dict)
    exposed: frozenset[str] = frozenset()
    sum: Sum | None = None
    reason: str = ""


async def conduct(plan: Plan, roster: Roster, grid: Grid, stage_seconds: float, progress: Progress) -> None:
    """Conducts a round to its end.

    Args:
        plan: of it.
        roster: the signed one.
        grid: carries messages.
        stage_seconds: within which each stage has to be answered.
        progress: is written as the round goes on.
    """
    try:
        coordinator = Coordinator(plan, roster)
        messages = coordinator.invitations()
        for stage in STAGES:
            progress.stage = stage.name
            if stage is Kind.MASKED:
                progress.exposed = frozenset(messages)
            answers = await grid.exchange(messages, stage_seconds)
            progress.lost[stage.name] = len(messages) - await asyncio.to_thread(_take, coordinator, answers)
            messages = await asyncio.to_thread(coordinator.close_stage)
        progress.sum = coordinator.sum
    except SeawallError as error:
        progress.reason = error.reason


def _take(coordinator: Coordinator, answers: Mapping[str, bytes]) -> int:
    """Returns how many of some answers are right."""
    taken = 0
    for agent, answer in answers.items():
        try:
            coordinator.receive(agent, answer)
            taken += 1
        except SeawallError as error:
            _log.info("an answer is refused", agent=agent, reason=error.reason)
    return taken
