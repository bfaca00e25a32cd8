"""What is done before the model is loaded, so that a version over which the agent falls does not make it fall for ever."""

from dataclasses import replace

import structlog

from agent.inference.loading import load_bundle
from agent.releases import State
from agent.store.live import LiveStore
from agent.store.rollouts import Before, ProbationRecord, RolloutEntry, RolloutStore
from agent.update.blocking import finished
from agent.update.slots import Slots
from contract.errors import InvalidRequest, SeawallError
from seawall.hub.v1.rollout_pb2 import ReleaseReport

MOST_STARTS = 3
"""So many starts in a row may end before there was an answer, or a minute; and so often an agent may fall while it checks a version."""

_FELL = f"The agent ended {MOST_STARTS} times in a row before this version had answered anything, or served for a minute."
_FELL_CHECKING = f"The agent fell {MOST_STARTS} times while it checked this version."

_log = structlog.get_logger(__name__)


async def before_start(slots: Slots, rollouts: RolloutStore, live: LiveStore) -> None:
    """Counts this start; where it is one too many, goes back first. Trouble with it does not keep the agent from starting.

    Args:
        slots: not read yet.
        rollouts: what is known of rollouts.
        live: the counts, where a probation must be begun.
    """
    try:
        on_trial = slots.look().rollout
        entry = await rollouts.get(on_trial) if on_trial else await rollouts.newest()
        if entry is None:
            return
        if on_trial:
            await _count_trial(slots, rollouts, live, entry)
        elif entry.report.state in (State.CHECKING, State.SHADOWING) and entry.before is not None:
            await _count_check(rollouts, entry, entry.before)
    except SeawallError as error:
        _log.error("this start cannot be counted", reason=error.reason, advice=error.message)


async def stopped_in_order(rollouts: RolloutStore) -> None:
    """Notes that this end is no fault of a version that is being checked: the start after it is not counted.

    Args:
        rollouts: what is known of rollouts.
    """
    try:
        entry = await rollouts.newest()
        if entry is not None and entry.report.state in (State.CHECKING, State.SHADOWING) and entry.before is not None:
            await rollouts.put(replace(entry, before=replace(entry.before, interruptions=entry.before.interruptions - 1)))
    except SeawallError as error:
        _log.warning("the next start will be counted", reason=error.reason, advice=error.message)


async def begin_probation(slots: Slots, live: LiveStore, entry: RolloutEntry) -> ProbationRecord:
    """Returns the record of a probation that begins now, of the version in the current slot."""
    folder = slots.bundle
    try:
        digest = load_bundle(folder, verify=False).digest() if folder is not None else ""
    except InvalidRequest:  # a start that finds it damaged falls back by itself
        digest = ""
    old = entry.before.digest if entry.before is not None else ""
    return ProbationRecord(digest, new=await live.of(digest), old=await live.of(old))


async def _count_trial(slots: Slots, rollouts: RolloutStore, live: LiveStore, entry: RolloutEntry) -> None:
    record = entry.probation
    if record is None:
        await finished(slots.start)
        if slots.record.rollout != entry.rollout:
            return  # it is damaged, and another serves: it is taken anew
        record = await begin_probation(slots, live, entry)
    if record.starts < MOST_STARTS:
        await rollouts.put(replace(entry, probation=replace(record, starts=record.starts + 1)))
        return
    with slots.held():
        await finished(slots.start)
        if slots.record.rollout == entry.rollout:
            await finished(slots.roll_back, _FELL)
    await rollouts.put(_ended(entry, State.ROLLED_BACK, _FELL))


async def _count_check(rollouts: RolloutStore, entry: RolloutEntry, before: Before) -> None:
    entry = replace(entry, before=replace(before, interruptions=before.interruptions + 1))
    await rollouts.put(entry if before.interruptions + 1 < MOST_STARTS else _ended(entry, State.REFUSED, _FELL_CHECKING))


def _ended(entry: RolloutEntry, state: State.ValueType, detail: str) -> RolloutEntry:
    report = ReleaseReport()
    report.CopyFrom(entry.report)
    report.state, report.detail = state, detail
    return replace(entry, report=report)
