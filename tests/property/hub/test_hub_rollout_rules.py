"""The rules of rollouts against fleets that do what they like: reports in any order and late, agents that come, go and say nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from hub.release.plan import Plan, read_plan
from hub.release.rules import MUST_GIVE_BACK, Standing, Told, choosable_waves, new_standing, next_standing
from hub.store.rollout_states import (
    ACTIVE,
    CANCELLED,
    COMPLETED,
    FAILURES,
    GIVE_BACK,
    PAUSED,
    REFUSED,
    ROLLED_BACK,
    ROLLING_BACK,
    TAKE,
    WAITING_FOR_APPROVAL,
)
from seawall.hub.v1 import rollout_pb2

BEGIN = datetime(2026, 11, 21, 12, tzinfo=UTC)
PATIENCE = timedelta(hours=1)
GOING_WELL = ("WAITING", "FETCHING", "CHECKING", "SHADOWING", "ON_PROBATION", "PROVEN")
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""A run is short enough to be read as it is: making it shorter takes minutes."""

STATES = (*GOING_WELL * 3, "REFUSED", "ROLLED_BACK")
ABSURD = st.sampled_from([0.0, -1.0, 1e308, -1e308, 0.5, 1e-300, 0.2, 0.0, 1.0])


@dataclass
class Agent:
    """One agent, with all that it was ever told."""

    agent_id: str
    labels: Mapping[str, str]
    is_on: bool
    is_active: bool = True
    wave: int | None = None
    told: list[str] = field(default_factory=list)
    state: str = ""
    failed: bool = False
    reached_at: datetime | None = None
    figures: Mapping[str, float] = field(default_factory=dict)

    def as_told(self, now: datetime) -> Told:
        is_late = self.reached_at is not None and self.reached_at <= now - PATIENCE
        return Told(self.wave or 0, self.told[-1], self.state, self.failed, self.is_active, self.reached_at is not None, is_late)


class Fleet:
    """The facts, from agents in memory."""

    def __init__(self, plan: Plan, agents: Sequence[Agent], now: datetime) -> None:
        self.plan, self.agents, self.now = plan, agents, now

    def told(self) -> Sequence[Told]:
        return [agent.as_told(self.now) for agent in self.agents if agent.told]

    def members(self) -> Sequence[int]:
        waves = [self.wave_of(agent) for agent in self.agents if agent.is_active]
        return [waves.count(number) for number in range(len(self.plan.waves))]

    def wave_of(self, agent: Agent) -> int | None:
        return agent.wave if agent.told else self.plan.wave_of(agent.agent_id, agent.labels)

    def failure(self, wave: int) -> str:
        return next(agent.agent_id for agent in self.agents if agent.failed and agent.wave == wave)

    def stuck(self, wave: int) -> str:
        return next(agent.agent_id for agent in self.agents if agent.told and agent.as_told(self.now).kind == "stuck")

    def figures(self, wave: int) -> Sequence[Mapping[str, float]]:
        return [agent.figures for agent in self.agents if agent.wave == wave and agent.state == "PROVEN" and not agent.failed]

    def learned(self, wave: int) -> str:
        return "nobody learns here"


class Machine(RuleBasedStateMachine):
    """A rollout of three waves: a site, a share of the rest after approval, all."""

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGIN
        self.agents: list[Agent] = []
        self.empty: set[int] = set()

    @initialize(
        soak=st.sampled_from([0, 600]),
        max_failed=st.sampled_from([0, 0, 1]),
        approval=st.booleans(),
        window=st.booleans(),
        empty=st.booleans(),
    )
    def make(self, soak: int, max_failed: int, approval: bool, window: bool, empty: bool) -> None:
        first = rollout_pb2.Wave(expression="labels.site = nowhere" if empty else "labels.site = oslo")
        waves = [first, rollout_pb2.Wave(percent=50, needs_approval=approval), rollout_pb2.Wave()]
        for wave in waves:
            wave.soak_time.seconds = soak
        gates = rollout_pb2.Gates(max_failed=max_failed, max_failed_share=1.0 if max_failed else 0.0, max_escalation_share_rise=0.9)
        windows = [rollout_pb2.Window(begin="11:00", end="15:00")] if window else []
        wanted = rollout_pb2.Rollout(model_version="models/x/versions/1", waves=waves, gates=gates, windows=windows)
        self.plan = read_plan("june", wanted.SerializeToString())
        self.standing = new_standing(self.plan)
        self.agents = [Agent(f"a-{number}", {"site": "oslo" if number % 3 == 0 else "bergen"}, number != 4) for number in range(6)]
        self.move()

    @rule(site=st.sampled_from(["oslo", "bergen"]), is_on=st.booleans())
    def enroll(self, site: str, is_on: bool) -> None:
        if len(self.agents) < 10:
            self.agents.append(Agent(f"a-{len(self.agents)}", {"site": site}, is_on))
        self.move()

    @precondition(lambda self: self.agents)
    @rule(data=st.data(), state=st.sampled_from(STATES), rise=ABSURD)
    def report(self, data: st.DataObject, state: str, rise: float) -> None:
        agent = data.draw(st.sampled_from(self.agents))
        if not agent.told:
            return
        agent.state, agent.figures = state, {"escalation_share_rise": rise, "speed_ratio": rise}
        agent.failed = agent.failed or (agent.told[-1] == TAKE and state in FAILURES)
        agent.reached_at = agent.reached_at or self.now
        self.move()

    @precondition(lambda self: self.agents)
    @rule(data=st.data())
    def behave(self, data: st.DataObject) -> None:
        """Agents more often do what they are told than not."""
        for agent in self.agents:
            if agent.told and agent.is_on and data.draw(st.integers(0, 3)):
                agent.state = "PROVEN" if agent.told[-1] == TAKE else "ROLLED_BACK"
                agent.figures = {}
                agent.reached_at = agent.reached_at or self.now
        self.move()

    @precondition(lambda self: self.agents)
    @rule(data=st.data())
    def toggle(self, data: st.DataObject) -> None:
        agent = data.draw(st.sampled_from(self.agents))
        agent.is_on = not agent.is_on
        if agent.is_on and agent.told:
            agent.reached_at = agent.reached_at or self.now
        self.move()

    @precondition(lambda self: self.agents)
    @rule(data=st.data())
    def suspend_or_resume(self, data: st.DataObject) -> None:
        agent = data.draw(st.sampled_from(self.agents))
        agent.is_active = not agent.is_active
        self.move()

    @rule(minutes=st.sampled_from([5, 15, 70, 24 * 60]))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.move()

    @rule(to=st.sampled_from(["pause", "resume", "approve", "cancel", "roll back"]), chance=st.integers(0, 5))
    def operate(self, to: str, chance: int) -> None:
        state = self.standing.state
        if to == "pause" and state in (ACTIVE, WAITING_FOR_APPROVAL):
            self.standing = replace(self.standing, state=PAUSED, mover="me")
        elif to == "resume" and state == PAUSED:
            self.standing = replace(self.standing, state=ACTIVE, forgiven_wave=self.standing.current_wave)
        elif to == "approve" and state == WAITING_FOR_APPROVAL:
            self.standing = replace(self.standing, state=ACTIVE, approved_wave=self.standing.current_wave)
        elif to == "cancel" and chance == 0 and state in (ACTIVE, WAITING_FOR_APPROVAL, PAUSED):
            self.standing = replace(self.standing, state=CANCELLED)
        elif to == "roll back" and chance == 0 and state not in (ROLLING_BACK, ROLLED_BACK):
            self.standing = replace(self.standing, state=ROLLING_BACK)
        self.move()

    @property
    def facts(self) -> Fleet:
        return Fleet(self.plan, self.agents, self.now)

    def move(self) -> None:
        self.tell()
        for _ in range(50):
            after = next_standing(self.plan, self.standing, self.facts, self.now)
            if after is None:
                return
            self.check_step(self.standing, after)
            self.standing = after
            self.tell()
        raise AssertionError("it never rests")

    def tell(self) -> None:
        waves = choosable_waves(self.plan, self.standing, self.facts, self.now)
        for agent in self.agents:
            wave = self.plan.wave_of(agent.agent_id, agent.labels)
            if not agent.told and agent.is_active and wave is not None and wave < waves:
                self.check_choice(wave)
                agent.wave = wave
                self.say(agent, TAKE)
            elif agent.told and agent.told[-1] == TAKE and agent.state in MUST_GIVE_BACK.get(self.standing.state, ()):
                self.say(agent, GIVE_BACK)

    def say(self, agent: Agent, action: str) -> None:
        agent.told.append(action)
        agent.reached_at = self.now if agent.is_on else None

    def too_many_failed(self) -> bool:
        failed = [agent.wave for agent in self.agents if agent.failed]
        return any(failed.count(wave) > self.plan.gates.max_failed for wave in failed)

    def check_choice(self, wave: int) -> None:
        """What must hold whenever anybody is told to take the version."""
        assert not self.too_many_failed()
        assert self.standing.state in (ACTIVE, WAITING_FOR_APPROVAL, COMPLETED)
        assert not self.plan.windows or 11 <= self.now.hour < 15
        for number in range(wave):
            times = self.standing.times[number]
            assert times.end is not None
            assert times.settle is not None
            assert number in self.empty or times.end >= times.settle + self.plan.waves[number].soak_time
        if self.plan.waves[wave].needs_approval:
            assert self.standing.approved_wave >= wave

    def check_step(self, before: Standing, after: Standing) -> None:
        """No step loses what was there, and a wave is settled only when nobody that was reached is waited for."""
        number = before.current_wave
        assert after.current_wave in (number, number + 1)
        if f"Wave {number} has no agents" in after.reason and after.current_wave > number:
            assert not self.facts.members()[number]
            self.empty.add(number)
        if number < len(self.plan.waves) and before.times[number].settle is None and after.times[number].settle is not None:
            waited_for = [
                agent.agent_id
                for agent in self.agents
                if agent.told and agent.wave == number and agent.is_active and agent.reached_at is not None
                if agent.state not in ("PROVEN", *FAILURES) and not agent.failed and self.now - agent.reached_at < PATIENCE
            ]
            assert not waited_for

    @invariant()
    def who_took_it_is_told_to_give_it_back(self) -> None:
        if getattr(self, "standing", None) and self.standing.state in (ROLLING_BACK, ROLLED_BACK):
            for agent in self.agents:
                if agent.told and agent.state != REFUSED:
                    assert agent.told[-1] == GIVE_BACK, agent

    @invariant()
    def nobody_is_told_to_take_it_twice(self) -> None:
        for agent in self.agents:
            assert agent.told in ([], [TAKE], [TAKE, GIVE_BACK])

    @invariant()
    def too_many_failures_end_it(self) -> None:
        if self.agents and self.too_many_failed():
            assert self.standing.state in (ROLLING_BACK, ROLLED_BACK, CANCELLED, COMPLETED)
            if self.standing.state != CANCELLED:
                assert self.standing.reason or self.standing.mover or self.standing.state == ROLLING_BACK

    def teardown(self) -> None:
        """From wherever it is, a fleet that is well and an operator who lets it go on bring it to an end."""
        if not self.agents or self.standing.state in (ROLLED_BACK, CANCELLED):
            return
        for _ in range(20):
            for agent in self.agents:
                agent.is_on = agent.is_active = True
                if agent.told:
                    agent.reached_at = agent.reached_at or self.now
                    agent.figures = {}
                    agent.state = "PROVEN" if agent.told[-1] == TAKE else "ROLLED_BACK"
            self.move()
            if self.standing.state == PAUSED:
                self.operate_once(state=ACTIVE, forgiven_wave=self.standing.current_wave)
            if self.standing.state == WAITING_FOR_APPROVAL:
                self.operate_once(state=ACTIVE, approved_wave=self.standing.current_wave)
            self.now = self.now.replace(hour=12) + timedelta(days=1)
            self.move()
        assert self.standing.state in (COMPLETED, ROLLED_BACK)
        if self.standing.state == COMPLETED and not self.too_many_failed():
            assert all(agent.told == [TAKE] for agent in self.agents)

    def operate_once(self, **changes: object) -> None:
        self.standing = replace(self.standing, **changes)  # type: ignore[arg-type]
        self.move()


def run(examples: int) -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=30, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck)
        ),
    )


def test_whatever_a_fleet_does_a_rollout_keeps_its_rules_and_comes_to_an_end() -> None:
    run(150)


@pytest.mark.system
def test_it_does_so_in_thousands_of_runs() -> None:
    run(4000)
