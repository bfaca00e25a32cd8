"""The rules of a rollout, one at a time: draws, windows, gates, and steps that no fleet often comes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.release.gates import Learned, failed_gate
from hub.release.plan import Gates, draw, read_plan
from hub.release.rules import Standing, Told, choosable_waves, new_standing, next_standing
from hub.release.windows import Window, is_open
from hub.store.rollout_states import ACTIVE, COMPLETED, PAUSED, ROLLED_BACK, ROLLING_BACK
from seawall.hub.v1 import rollout_pb2

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
"""A Saturday."""

PLAN = read_plan("june", rollout_pb2.Rollout(model_version="models/x/versions/1", waves=[rollout_pb2.Wave()]).SerializeToString())
GATES = Gates(0, 0, 0.5, 0.1, 0.8, 0.1)
ANY = st.floats(allow_nan=True, allow_infinity=True)


@dataclass
class Known:
    """Facts, as they are."""

    alike: Sequence[Told]
    report: Learned | str = "nobody has asked for one"

    def told(self) -> Sequence[Told]:
        return self.alike

    def members(self) -> Sequence[int]:
        return [sum(one.count for one in self.alike)]

    def failure(self, wave: int) -> str:
        return f"one of {wave}"

    def stuck(self, wave: int) -> str:
        return f"one of {wave}"

    def figures(self, wave: int) -> Sequence[Mapping[str, float]]:
        return []

    def learned(self, wave: int) -> Learned | str:
        return self.report


def told(state: str = "", action: str = "TAKE", *, failed: bool = False, late: bool = False, reached: bool = True, count: int = 1) -> Told:
    return Told(0, action, state, failed, counts=True, is_reached=reached, is_late=late, count=count)


def begun(state: str = ACTIVE, forgiven_wave: int = -1) -> Standing:
    after = next_standing(PLAN, new_standing(PLAN), Known([]), NOON)
    assert after is not None
    return replace(after, state=state, forgiven_wave=forgiven_wave)


def test_a_draw_is_an_agents_own_and_evenly_spread() -> None:
    drawn = [draw("june", f"agent-{number}") for number in range(10_000)]
    assert all(0 <= one < 100 for one in drawn)
    for percent in (1, 10, 50):
        assert abs(sum(one < percent for one in drawn) / 100 - percent) < 1
    assert draw("june", "plant-7") == draw("june", "plant-7") != draw("july", "plant-7")


def test_the_first_wave_that_matches_wins() -> None:
    waves = [
        rollout_pb2.Wave(expression="labels.canary = yes"),
        rollout_pb2.Wave(percent=30),
        rollout_pb2.Wave(expression="labels.site = oslo"),
    ]
    wanted = rollout_pb2.Rollout(model_version="models/x/versions/1", expression="NOT labels.kind = test", waves=waves)
    plan = read_plan("june", wanted.SerializeToString())
    agents = [f"a-{number}" for number in range(100)]
    assert plan.wave_of("a-1", {"canary": "yes", "site": "oslo"}) == 0
    assert plan.wave_of("a-1", {"canary": "yes", "kind": "test"}) is None
    assert {agent for agent in agents if plan.wave_of(agent, {}) == 1} == {agent for agent in agents if draw("june", agent) < 30}
    assert {plan.wave_of(agent, {"site": "oslo"}) for agent in agents} == {1, 2}
    assert {plan.wave_of(agent, {"site": "bergen"}) for agent in agents} == {1, None}


@pytest.mark.parametrize(
    ("window", "hour", "holds"),
    [
        (rollout_pb2.Window(begin="11:30", end="12:30"), 12, True),
        (rollout_pb2.Window(begin="12:00", end="13:00"), 13, False),
        (rollout_pb2.Window(begin="22:00", end="06:00"), 3, True),
        (rollout_pb2.Window(begin="22:00", end="06:00"), 6, False),
        (rollout_pb2.Window(days=[5], begin="22:00", end="06:00"), 3, True),  # since Friday
        (rollout_pb2.Window(days=[6], begin="22:00", end="06:00"), 3, False),
        (rollout_pb2.Window(days=[6], begin="22:00", end="06:00"), 23, True),
        (rollout_pb2.Window(begin="12:00", end="12:00"), 11, True),  # a whole day
    ],
)
def test_a_window_begins_on_its_days_and_may_end_on_the_next(window: rollout_pb2.Window, hour: int, holds: bool) -> None:
    assert is_open([Window.read(window)], NOON.replace(hour=hour)) is holds


def test_without_windows_it_is_always_open() -> None:
    assert is_open([], NOON)


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (
            [{"escalation_share_rise": 0.3}, {"escalation_share_rise": -0.05}],
            "mean escalation_share_rise of 2 agents is 0.125; at most 0.1",
        ),
        ([{"speed_ratio": 0.7}, {"speed_ratio": 0.75}, {"speed_ratio": 9.0}], "median speed_ratio of 3 agents is 0.75; at least 0.8"),
        ([{"negative_share_rise": 0.2}], "mean negative_share_rise of 1 agents is 0.2; at most 0.1"),
        ([{"escalation_share_rise": 1e308, "speed_ratio": -5.0}], ""),
        ([], ""),
    ],
)
def test_a_gate_that_does_not_hold_is_named_with_its_figure_and_limit(figures: list[dict[str, float]], words: str) -> None:
    said = failed_gate(GATES, figures)
    assert words in said
    assert bool(said) == bool(words)


@given(st.lists(st.dictionaries(st.sampled_from(["escalation_share_rise", "speed_ratio", "negative_share_rise"]), ANY), max_size=5))
def test_no_figures_break_the_gates(figures: list[dict[str, float]]) -> None:
    assert isinstance(failed_gate(GATES, figures), str)


@pytest.mark.parametrize("state", [ACTIVE, COMPLETED])
def test_once_too_many_have_failed_nobody_is_chosen_in_whatever_state(state: str) -> None:
    standing = begun(state)
    assert choosable_waves(PLAN, standing, Known([told("PROVEN", count=9)]), NOON) == 1
    assert choosable_waves(PLAN, standing, Known([told("PROVEN", count=9), told("REFUSED", failed=True)]), NOON) == 0


def test_it_has_not_gone_back_while_anybody_is_still_to_be_told() -> None:
    standing = begun(ROLLING_BACK)
    untold, back = told("PROVEN"), told("ROLLED_BACK", "GIVE_BACK")
    assert next_standing(PLAN, standing, Known([untold, back]), NOON) is None
    waiting = [told("PROVEN", "GIVE_BACK"), back]
    assert next_standing(PLAN, standing, Known(waiting), NOON) is None
    others = [back, told("REFUSED", failed=True), told("PROVEN", "GIVE_BACK", late=True), told("PROVEN", "GIVE_BACK", reached=False)]
    after = next_standing(PLAN, standing, Known(others), NOON)
    assert after is not None
    assert after.state == ROLLED_BACK


def test_stuck_agents_pause_a_wave_once_and_not_after_they_are_forgiven() -> None:
    facts = Known([told(late=True, count=2), told("PROVEN")])
    paused = next_standing(PLAN, begun(), facts, NOON)
    assert paused is not None
    assert paused.state == PAUSED
    assert paused.reason == "Wave 0: stuck 0.6667, 2 of 3 agents that were reached; at most a share of 0.5 may be. one of 0"
    settled = next_standing(PLAN, begun(forgiven_wave=0), facts, NOON)
    assert settled is not None
    assert settled.times[0].settle == NOON
