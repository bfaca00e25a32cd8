"""What comes next in a rollout: all that is decided about one, of what is known and the time. Nothing here reads or writes.

A step is small, so that each is kept before the next is looked for: a hub that dies between two goes on with the second.

1. Once more agents of a wave have failed than may, it rolls back, also while it is paused; and nobody more is chosen, in whatever state.
2. A wave begins when those before it are through, a person has approved it where that is asked for, and a window is open.
3. It is settled when every agent that was reached has proven the version, has failed, or is stuck. Who was not reached is not waited for.
4. It is through when it has soaked and the fleet's gates hold. One by a report of counts holds too where the report says too little.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from hub.release.gates import LEARNED_NEGATIVE_SHARE_RISE, Judgement, Learned, failed_gate, judge_learned
from hub.release.plan import Plan
from hub.release.windows import is_open
from hub.store.rollout_states import (
    ACTIVE,
    CANCELLED,
    COMPLETED,
    FAILURES,
    GIVE_BACK,
    NOT_TAKEN,
    PAUSED,
    PROVEN,
    ROLLED_BACK,
    ROLLING_BACK,
    TAKE,
    TAKEN,
    UNFINISHED,
    UNHEARD,
    WAITING_FOR_APPROVAL,
)

MUST_GIVE_BACK: Mapping[str, frozenset[str]] = {
    ROLLING_BACK: NOT_TAKEN | TAKEN,
    ROLLED_BACK: NOT_TAKEN | TAKEN,
    CANCELLED: NOT_TAKEN,
}
"""By the rollout's state: who was told to take the version and says this of it is told to give it back."""

NO_MORE = "No more agents join: "


@dataclass(frozen=True, slots=True)
class WaveTimes:
    """When a wave began, was settled, and was through. None: not yet."""

    begin: datetime | None = None
    settle: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a rollout stands.

    Args:
        state: a name of Rollout.State.
        reason: why; empty: nothing has happened.
        mover: who brought it into this state; empty: it came to it by itself.
        current_wave: the one that goes on, or is next; as many as there are: all are through.
        approved_wave: the last one that a person let begin; -1: none.
        forgiven_wave: the one whose stuck agents a person has forgiven; -1: none.
        times: of each wave.
    """

    state: str
    times: tuple[WaveTimes, ...]
    reason: str = ""
    mover: str = ""
    current_wave: int = 0
    approved_wave: int = -1
    forgiven_wave: int = -1

    @property
    def begun_waves(self) -> int:
        """How many waves have begun."""
        return sum(times.begin is not None for times in self.times)


@dataclass(frozen=True, slots=True)
class Told:
    """So many agents that were told of a rollout, and are alike.

    Args:
        wave: theirs.
        action: what they were told, TAKE or GIVE_BACK.
        state: of their last report; empty: none has come.
        failed: whether they have refused the version, or gone back from it by themselves.
        counts: whether they are active, and no newer rollout has taken them over.
        is_reached: whether they had a session since they were told.
        is_late: whether patience with them is over.
        count: how many they are.
    """

    wave: int
    action: str
    state: str
    failed: bool
    counts: bool
    is_reached: bool
    is_late: bool
    count: int = 1

    @property
    def kind(self) -> str:
        """How far they are: a field of WaveProgress."""
        if self.failed:
            return "failed"
        if self.action == TAKE and self.state == PROVEN:
            return "proven"
        if self.action == GIVE_BACK and self.state in FAILURES:
            return "rolled_back"
        if self.is_reached and self.is_late:
            return "stuck"
        return "waiting" if self.state == UNHEARD or not self.is_reached else "under_way"


class Facts(Protocol):
    """What is known of a rollout's agents."""

    def told(self) -> Sequence[Told]:
        """Returns all that were told."""
        ...

    def members(self) -> Sequence[int]:
        """Returns how many active agents each wave has, told or not."""
        ...

    def failure(self, wave: int) -> str:
        """Returns what one agent of a wave that has failed says of it."""
        ...

    def stuck(self, wave: int) -> str:
        """Returns one agent of a wave that is stuck, and what it last said."""
        ...

    def figures(self, wave: int) -> Sequence[Mapping[str, float]]:
        """Returns the figures of those of a wave that have proven it."""
        ...

    def learned(self, wave: int) -> Learned | str:
        """Returns what a report of counts says of the version since a wave has begun, or why there is none that does."""
        ...


def new_standing(plan: Plan) -> Standing:
    """Returns where a rollout stands that has just been made."""
    return Standing(ACTIVE, tuple(WaveTimes() for _ in plan.waves))


def next_standing(plan: Plan, before: Standing, facts: Facts, now: datetime) -> Standing | None:
    """Returns where a rollout stands after its next step; None: nothing is to be done now."""
    if before.state == ROLLING_BACK:
        return None if _goes_back(facts) else replace(before, state=ROLLED_BACK)
    if before.state == COMPLETED:
        broken = "" if before.reason.startswith(NO_MORE) else _too_many_failed(plan, facts)
        return replace(before, reason=NO_MORE + broken) if broken else None
    if before.state not in UNFINISHED:
        return None
    if broken := _too_many_failed(plan, facts):
        return replace(before, state=ROLLING_BACK, reason=broken, mover="")
    return None if before.state == PAUSED else _next_of_wave(plan, before, facts, now)


def choosable_waves(plan: Plan, standing: Standing, facts: Facts, now: datetime) -> int:
    """Returns of how many waves, from the first on, agents may be chosen now."""
    if standing.state not in (ACTIVE, WAITING_FOR_APPROVAL, COMPLETED) or not is_open(plan.windows, now):
        return 0
    return 0 if _too_many_failed(plan, facts) else standing.begun_waves


def _next_of_wave(plan: Plan, before: Standing, facts: Facts, now: datetime) -> Standing | None:
    number = before.current_wave
    if number == len(plan.waves):
        return replace(before, state=COMPLETED, mover="")
    times = before.times[number]
    if times.begin is None:
        return _begin(plan, before, now)
    if times.settle is None:
        return _settle(plan, before, facts, now)
    return _end(plan, before, facts, now)


def _begin(plan: Plan, before: Standing, now: datetime) -> Standing | None:
    number = before.current_wave
    if plan.waves[number].needs_approval and before.approved_wave < number:
        return None if before.state == WAITING_FOR_APPROVAL else replace(before, state=WAITING_FOR_APPROVAL, mover="")
    return _timed(before, WaveTimes(begin=now)) if is_open(plan.windows, now) else None


def _settle(plan: Plan, before: Standing, facts: Facts, now: datetime) -> Standing | None:
    number = before.current_wave
    reached = [told for told in _counting(facts, number) if told.is_reached]
    total, stuck = _sum(reached), _sum(told for told in reached if told.kind == "stuck")
    if before.forgiven_wave != number and stuck > plan.gates.max_stuck_share * total:
        limit = f"at most a share of {plan.gates.max_stuck_share:g} may be"
        reason = f"Wave {number}: stuck {stuck / total:.4g}, {stuck} of {total} agents that were reached; {limit}. {facts.stuck(number)}"
        return replace(before, state=PAUSED, reason=reason, mover="")
    if total:
        waited_for = any(told.kind in ("waiting", "under_way") for told in reached)
        return None if waited_for else _timed(before, replace(before.times[number], settle=now))
    if _counting(facts, number) or facts.members()[number]:
        return None
    through = _timed(before, replace(before.times[number], settle=now, end=now))
    return replace(through, current_wave=number + 1, reason=f"Wave {number} has no agents: it is through.")


def _end(plan: Plan, before: Standing, facts: Facts, now: datetime) -> Standing | None:
    number = before.current_wave
    settled = before.times[number].settle
    if settled is None or now < settled + plan.waves[number].soak_time:
        return None
    if broken := failed_gate(plan.gates, facts.figures(number)):
        return replace(before, state=ROLLING_BACK, reason=f"Wave {number}: {broken}", mover="")
    told = _judge_learned(plan, facts, number)
    if told.is_broken:
        return replace(before, state=ROLLING_BACK, reason=f"Wave {number}: {told.why}", mover="")
    through = replace(_timed(before, replace(before.times[number], end=now)), current_wave=number + 1)
    unknown = f"Wave {number} is through. Whether {LEARNED_NEGATIVE_SHARE_RISE} is within its limit is not known: {told.why}."
    return replace(through, reason=unknown) if told.why else through


def _judge_learned(plan: Plan, facts: Facts, wave: int) -> Judgement:
    limit = plan.gates.max_learned_negative_share_rise
    if limit is None:
        return Judgement(False)
    learned = facts.learned(wave)
    return Judgement(False, learned) if isinstance(learned, str) else judge_learned(limit, learned)


def _too_many_failed(plan: Plan, facts: Facts) -> str:
    """Returns why too many of a wave have failed; empty: it is not so. A failure counts, whatever has become of its agent since."""
    for number in range(len(plan.waves)):
        failed = _sum(told for told in facts.told() if told.wave == number and told.failed)
        ended = failed + _sum(told for told in _counting(facts, number) if told.kind == "proven")
        gates = plan.gates
        if failed > gates.max_failed or failed > gates.max_failed_share * ended:
            limits = f"at most {gates.max_failed}, and a share of {gates.max_failed_share:g}, may"
            return f"Wave {number}: {failed} of {ended} agents that ended have failed; {limits}. {facts.failure(number)}"
    return ""


def _goes_back(facts: Facts) -> bool:
    """Whether an agent that can be reached is still to go back, or is still to be told."""
    told = [one for one in facts.told() if one.counts]
    pending = any(one.action == TAKE and one.state in MUST_GIVE_BACK[ROLLING_BACK] for one in told)
    return pending or any(one.action == GIVE_BACK and one.is_reached and one.kind in ("waiting", "under_way") for one in told)


def _counting(facts: Facts, wave: int) -> list[Told]:
    return [told for told in facts.told() if told.wave == wave and (told.counts or told.failed)]


def _sum(told: Iterable[Told]) -> int:
    return sum(one.count for one in told)


def _timed(standing: Standing, times: WaveTimes) -> Standing:
    number = standing.current_wave
    return replace(standing, times=(*standing.times[:number], times, *standing.times[number + 1 :]))
