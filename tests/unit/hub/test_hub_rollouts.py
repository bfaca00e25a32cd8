"""Rollouts on a store, on either engine: what operators want, what agents say, and what follows."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import event

from contract.errors import Conflict, InvalidRequest, NotFound, NotPossibleNow, Reason, SeawallError, Superseded
from hub.release.rollouts import By
from hub.release.wishes import CHOSEN_AT_ONCE
from hub.store import agents
from hub.store.rollout_states import ACTIVE, COMPLETED, GIVE_BACK, PAUSED, ROLLED_BACK, ROLLING_BACK, TAKE, WAITING_FOR_APPROVAL
from seawall.hub.v1 import rollout_pb2
from tests.fakes.rollouts import ME, VERSION, RolloutStore, rollout, wave

HOUR = timedelta(hours=1)
OSLO = wave("labels.site = oslo", soak=HOUR)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[RolloutStore]:
    result = RolloutStore(database_url)
    yield result
    result.database.close()


async def two_sites(store: RolloutStore) -> None:
    await store.enroll("oslo-1", "oslo-2", site="oslo")
    await store.enroll("bergen-1", "bergen-2", site="bergen")


async def test_a_wave_begins_when_the_one_before_it_is_proven_and_has_soaked(store: RolloutStore) -> None:
    await two_sites(store)
    shown = await store.create(rollout(OSLO, wave()))
    assert [progress.agents for progress in shown.progress] == [2, 2]
    assert await store.told() == {"oslo-1": TAKE, "oslo-2": TAKE}
    wish = await store.wish("oslo-1")
    assert (wish.rollout, wish.model_version, wish.action) == ("rollouts/june", VERSION, rollout_pb2.DesiredRelease.TAKE)
    await store.report("oslo-1", "PROVEN")
    await store.wait(2 * HOUR - timedelta(minutes=61))
    await store.report("oslo-2", "PROVEN")
    await store.wait(HOUR - timedelta(seconds=1))
    assert set(await store.told()) == {"oslo-1", "oslo-2"}
    await store.wait(timedelta(seconds=1))
    assert set(await store.told()) == {"oslo-1", "oslo-2", "bergen-1", "bergen-2"}
    await store.report("bergen-1", "PROVEN")
    await store.report("bergen-2", "PROVEN")
    done = await store.rollouts.get("june")
    assert (done.record.state, done.record.current_wave, done.record.end_time) == (COMPLETED, 2, store.now)
    assert [progress.proven for progress in done.progress] == [2, 2]


async def test_the_first_bad_agent_stops_it_and_all_that_took_it_go_back(store: RolloutStore) -> None:
    await two_sites(store)
    await store.create(rollout())
    await store.report("oslo-1", "PROVEN")
    await store.report(
        "bergen-1", "REFUSED", failed_figure="perplexity_ratio", figures={"perplexity_ratio": 3.25}, limits={"perplexity_ratio": 1.5}
    )
    shown = await store.rollouts.get("june")
    assert shown.record.state == ROLLING_BACK
    assert "1 of 2 agents that ended have failed" in shown.record.reason
    assert "agents/bergen-1, REFUSED: perplexity_ratio 3.25, limit 1.5" in shown.record.reason
    assert await store.told() == {"bergen-1": TAKE, "bergen-2": GIVE_BACK, "oslo-1": GIVE_BACK, "oslo-2": GIVE_BACK}
    assert (await store.wish("bergen-1")) == rollout_pb2.DesiredRelease()  # it never took it, and is told no more
    for agent_id in ("oslo-1", "oslo-2", "bergen-2"):
        await store.report(agent_id, "ROLLED_BACK")
    shown = await store.rollouts.get("june")
    assert (shown.record.state, shown.progress[0].failed, shown.progress[0].rolled_back) == (ROLLED_BACK, 1, 3)
    await store.enroll("late")
    await store.wait(HOUR)
    assert "late" not in await store.told()


async def test_a_failure_counts_in_the_write_that_keeps_it(store: RolloutStore) -> None:
    """An engine that is behind tells nobody anything."""
    await store.enroll("a", "b")
    await store.create(rollout())
    await store.reports.keep("a", rollout_pb2.ReleaseReport(rollout="rollouts/june", state=rollout_pb2.ReleaseReport.REFUSED))
    assert (await store.told())["b"] == GIVE_BACK


async def test_an_agent_that_is_off_is_waited_for_by_nobody_and_joins_long_after(store: RolloutStore) -> None:
    await store.enroll("on", site="oslo")
    await store.enroll("off", is_on=False, site="oslo")
    await store.create(rollout(wave("labels.site = oslo"), wave()))
    await store.report("on", "PROVEN")
    await store.wait(timedelta(days=40))
    assert await store.state() == COMPLETED
    await store.come_back("off")
    assert (await store.wish("off")).action == rollout_pb2.DesiredRelease.TAKE
    await store.report("off", "PROVEN")
    await store.enroll("new", site="oslo")
    await store.engine.move({"new"})
    assert (await store.told())["new"] == TAKE
    assert (await store.rollouts.get("june")).progress[0].agents == 3


async def test_after_too_many_failures_of_those_that_join_late_nobody_joins_more(store: RolloutStore) -> None:
    await store.enroll("a")
    await store.create(rollout())
    await store.report("a", "PROVEN")
    await store.enroll("b")
    await store.engine.move(None)
    await store.report("b", "REFUSED", detail="no room")
    await store.enroll("c")
    await store.engine.move(None)
    shown = await store.rollouts.get("june")
    assert shown.record.state == COMPLETED
    assert shown.record.reason.startswith("No more agents join: Wave 0: 1 of 2")
    assert "c" not in await store.told()


async def test_one_silent_agent_blocks_nobody_and_too_many_pause_it_until_they_are_forgiven(store: RolloutStore) -> None:
    await store.enroll("a", "b", "c", site="oslo")
    await store.create(rollout(wave("labels.site = oslo"), wave()))
    await store.report("a", "PROVEN")
    await store.report("b", "PROVEN")
    await store.wait(HOUR)
    assert await store.state() == COMPLETED
    assert (await store.rollouts.get("june")).progress[0].stuck == 1
    await store.create(rollout(wave("labels.site = oslo"), wave(), version="models/x/versions/3"), "july")
    await store.report("a", "FETCHING", "july", detail="the link breaks")
    await store.wait(HOUR)
    shown = await store.rollouts.get("july")
    assert (shown.record.state, shown.record.mover) == (PAUSED, "")
    assert shown.record.reason.startswith("Wave 0: stuck 1, 3 of 3 agents")
    assert "Such as agents/" in shown.record.reason
    await store.rollouts.resume("july", By(ME))
    await store.report("a", "PROVEN", "july")
    assert await store.state("july") == COMPLETED


async def test_who_pauses_it_is_not_forgiven_what_the_gates_would_stop(store: RolloutStore) -> None:
    await store.enroll("a")
    await store.create(rollout())
    await store.rollouts.pause("june", By(ME))
    await store.wait(2 * HOUR)
    resumed = await store.rollouts.resume("june", By(ME))
    assert (resumed.record.state, resumed.record.mover) == (PAUSED, "")


async def test_a_wave_that_needs_approval_waits_for_it(store: RolloutStore) -> None:
    await two_sites(store)
    shown = await store.create(rollout(wave("labels.site = oslo"), wave(needs_approval=True)))
    for agent_id in ("oslo-1", "oslo-2"):
        await store.report(agent_id, "PROVEN")
    assert await store.state() == WAITING_FOR_APPROVAL
    with pytest.raises(Superseded):
        await store.rollouts.approve("june", 1, By(ME, etag=str(shown.record.revision)))
    with pytest.raises(NotPossibleNow) as raised:
        await store.rollouts.approve("june", 2, By(ME))
    assert raised.value.reason == Reason.ROLLOUT_STATE
    assert (await store.rollouts.approve("june", 1, By(ME, "looks good"))).record.state == ACTIVE
    assert len(await store.told()) == 4
    before = await store.rollouts.get("june")
    assert await store.rollouts.approve("june", 1, By(ME)) == before
    said = [one.detail for one in await store.events() if one.actor == ME]
    assert said[-1] == "ACTIVE: looks good"


async def test_paused_it_chooses_nobody_and_resumed_it_goes_on(store: RolloutStore) -> None:
    await store.enroll("a")
    await store.create(rollout())
    paused = await store.rollouts.pause("june", By(ME, "lunch"))
    assert (paused.record.state, paused.record.mover, paused.record.reason) == (PAUSED, ME, "lunch")
    assert await store.rollouts.pause("june", By(ME)) == paused
    await store.enroll("b")
    await store.wait(timedelta(minutes=1))
    assert set(await store.told()) == {"a"}
    await store.rollouts.resume("june", By(ME))
    assert set(await store.told()) == {"a", "b"}


async def test_cancelled_it_leaves_the_version_where_it_serves_and_brings_it_nowhere_else(store: RolloutStore) -> None:
    await store.enroll("proven", "trying", "fetching", "silent")
    await store.create(rollout())
    await store.report("proven", "PROVEN")
    await store.report("trying", "ON_PROBATION")
    await store.report("fetching", "FETCHING")
    await store.rollouts.cancel("june", By(ME))
    assert await store.told() == {"proven": TAKE, "trying": TAKE, "fetching": GIVE_BACK, "silent": GIVE_BACK}
    with pytest.raises(NotPossibleNow):
        await store.rollouts.resume("june", By(ME))
    await store.rollouts.roll_back("june", By(ME))
    assert set((await store.told()).values()) == {GIVE_BACK}
    assert await store.state() == ROLLING_BACK


async def test_those_that_are_off_go_back_when_they_return_and_a_newer_rollout_takes_them_over(store: RolloutStore) -> None:
    await store.enroll("on")
    await store.create(rollout())
    await store.report("on", "PROVEN")
    await store.enroll("off", is_on=False)
    await store.engine.move(None)
    await store.rollouts.roll_back("june", By(ME, "people complain"))
    await store.report("on", "ROLLED_BACK")
    assert await store.state() == ROLLED_BACK
    assert (await store.wish("off")).action == rollout_pb2.DesiredRelease.GIVE_BACK
    await store.create(rollout(version="models/x/versions/3"), "july")
    assert (await store.wish("off")).model_version == "models/x/versions/3"


async def test_a_rollout_that_has_ended_can_be_rolled_back_until_there_is_a_newer_one(store: RolloutStore) -> None:
    await store.enroll("a")
    await store.create(rollout())
    await store.report("a", "PROVEN")
    await store.create(rollout(version="models/x/versions/3"), "july")
    with pytest.raises(NotPossibleNow) as raised:
        await store.rollouts.roll_back("june", By(ME))
    assert raised.value.reason == Reason.ROLLOUT_STATE
    await store.report("a", "PROVEN", "july")
    assert (await store.rollouts.roll_back("july", By(ME))).record.state == ROLLING_BACK
    assert await store.told("july") == {"a": GIVE_BACK}


async def test_one_goes_on_of_a_model_at_a_time_and_of_another_model_when_the_agent_is_free(store: RolloutStore) -> None:
    await store.enroll("a")
    await store.create(rollout())
    with pytest.raises(NotPossibleNow) as raised:
        await store.create(rollout(version="models/x/versions/3"), "july")
    assert raised.value.reason == Reason.ROLLOUT_ACTIVE
    await store.create(rollout(version="models/y/versions/1"), "july")
    assert await store.told("july") == {}
    await store.report("a", "PROVEN")
    assert await store.told("july") == {"a": TAKE}


async def test_creating_is_refused_with_a_reason_and_repeated_without_harm(store: RolloutStore) -> None:
    request_id = str(uuid.uuid4())
    made = await store.rollouts.create("june", rollout(), request_id, ME)
    assert await store.rollouts.create("june", rollout(), request_id, ME) == made
    with pytest.raises(Conflict) as exists:
        await store.create(rollout())
    assert exists.value.reason == Reason.ROLLOUT_EXISTS
    store.published = False
    with pytest.raises(NotFound) as unpublished:
        await store.create(rollout(version="models/y/versions/1"), "july")
    assert unpublished.value.reason == Reason.RELEASE_NOT_FOUND
    with pytest.raises(NotFound):
        await store.rollouts.get("august")


BAD = [
    (rollout(version="x"), Reason.NAME_INVALID),
    (rollout_pb2.Rollout(model_version=VERSION), Reason.FIELD_INVALID),
    (rollout(wave("site = ")), Reason.FILTER_INVALID),
    (rollout(wave("state = ACTIVE")), Reason.FILTER_INVALID),
    (rollout(rollout_pb2.Wave(percent=101)), Reason.FIELD_INVALID),
    (rollout(gates=rollout_pb2.Gates(max_stuck_share=float("nan"))), Reason.FIELD_INVALID),
    (rollout(gates=rollout_pb2.Gates(max_failed=-1)), Reason.FIELD_INVALID),
    (rollout(windows=[rollout_pb2.Window(begin="24:00", end="1:00")]), Reason.FIELD_INVALID),
    (rollout(windows=[rollout_pb2.Window(days=[8], begin="10:00", end="11:00")]), Reason.FIELD_INVALID),
    (rollout(trial=rollout_pb2.Trial(min_shadow_agreement=2)), Reason.FIELD_INVALID),
]


@pytest.mark.parametrize(("wanted", "reason"), BAD)
async def test_what_cannot_be_wanted_is_refused(store: RolloutStore, wanted: rollout_pb2.Rollout, reason: Reason) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await store.create(wanted)
    assert raised.value.reason == reason


async def test_absurd_reports_are_cut_and_those_of_others_mean_nothing(store: RolloutStore) -> None:
    await store.enroll("a", "b", site="oslo")
    await store.create(rollout(wave(percent=100, soak=HOUR), gates=rollout_pb2.Gates(max_escalation_share_rise=0.1, min_speed_ratio=0.5)))
    absurd = {"escalation_share_rise": 1e308, "speed_ratio": float("nan"), "x" * 1000: 1.0} | {f"f{number}": 1.0 for number in range(99)}
    await store.report("a", "PROVEN", figures=absurd, detail="y" * 5000, done_bytes=-1, total_bytes=-5)
    await store.report("a", "PROVEN", "another")
    await store.report("nobody", "REFUSED")
    await store.reports.keep("a", rollout_pb2.ReleaseReport(rollout="rollouts/june", state=99))  # type: ignore[arg-type]
    row = next(row for row in await store.rows() if row.agent_id == "a")
    kept = rollout_pb2.ReleaseReport.FromString(row.report or b"")
    assert (len(kept.detail), len(kept.figures), kept.done_bytes, kept.total_bytes) == (1000, 32, 0, 0)
    await store.report("b", "PROVEN", figures={"escalation_share_rise": 0.05, "speed_ratio": 0.9})
    await store.wait(HOUR)
    assert await store.state() == COMPLETED


async def test_the_fleets_gates_are_judged_after_the_soak(store: RolloutStore) -> None:
    await store.enroll("a", "b", "c")
    await store.create(rollout(wave(soak=HOUR), gates=rollout_pb2.Gates(min_speed_ratio=0.8)))
    for agent_id, ratio in (("a", 0.5), ("b", 0.7), ("c", 2.0)):
        await store.report(agent_id, "PROVEN", figures={"speed_ratio": ratio})
    assert await store.state() == ACTIVE
    await store.wait(HOUR)
    shown = await store.rollouts.get("june")
    assert shown.record.state == ROLLING_BACK
    assert "the median speed_ratio of 3 agents is 0.7; at least 0.8 must be" in shown.record.reason
    assert [one.type for one in await store.events()].count("ROLLOUT_STOPPED") == 1


async def test_the_gates_count_those_whom_a_rollout_of_another_model_has_taken_over(store: RolloutStore) -> None:
    await two_sites(store)
    await store.create(rollout(OSLO, wave(), gates=rollout_pb2.Gates(min_speed_ratio=0.9)))
    for agent_id in ("oslo-1", "oslo-2"):
        await store.report(agent_id, "PROVEN", figures={"speed_ratio": 0.1})
    await store.create(rollout(wave("labels.site = oslo"), version="models/y/versions/1"), "other")
    assert set(await store.told("other")) == {"oslo-1", "oslo-2"}
    await store.wait(HOUR)
    assert await store.state() in (ROLLING_BACK, ROLLED_BACK)


async def test_a_report_that_comes_late_over_a_session_that_was_left_means_nothing(store: RolloutStore) -> None:
    await store.enroll("a")
    await store.create(rollout())
    await store.report("a", "PROVEN")
    await store.move("a", "b" * 32)
    await store.report("a", "FETCHING")
    assert [row.state for row in await store.rows()] == ["PROVEN"]


async def test_who_is_enrolled_anew_under_its_name_is_chosen_again(store: RolloutStore) -> None:
    await store.enroll("a")
    await store.create(rollout())
    await store.report("a", "PROVEN")
    await store.database.write(lambda connection: agents.remove(connection, "a"))
    await store.enroll("a")
    await store.engine.move(None)
    assert [(row.agent_id, row.action, row.state) for row in await store.rows()] == [("a", TAKE, "")]
    assert (await store.wish("a")).model_version == VERSION


async def test_a_wave_without_agents_is_through_at_once_and_says_so(store: RolloutStore) -> None:
    await store.enroll("a", site="bergen")
    shown = await store.create(rollout(OSLO, wave()))
    assert (shown.record.current_wave, shown.record.reason) == (1, "Wave 0 has no agents: it is through.")
    assert await store.told() == {"a": TAKE}


async def test_outside_of_its_windows_nobody_is_chosen(store: RolloutStore) -> None:
    await store.enroll("a")
    await store.create(rollout(windows=[rollout_pb2.Window(days=[6], begin="22:00", end="02:00")]))  # noon on a Saturday
    assert await store.told() == {}
    await store.wait(timedelta(hours=13))
    assert await store.told() == {"a": TAKE}


async def test_an_agent_that_is_shut_out_is_no_member_and_is_chosen_when_it_is_let_in(store: RolloutStore) -> None:
    from hub.fleet.lifecycle import Lifecycle

    await store.enroll("a", "b")
    lifecycle = Lifecycle(store.journal, store.clock)
    await lifecycle.suspend("b", ME, "")
    await store.create(rollout())
    await store.report("a", "PROVEN")
    assert await store.state() == COMPLETED
    await lifecycle.resume("b", ME)
    await store.engine.move({"b"})
    assert (await store.told())["b"] == TAKE


async def test_who_watches_sees_each_change_and_the_end(store: RolloutStore) -> None:
    await store.enroll("a")
    await store.create(rollout())
    watch = store.rollouts.watch("june")
    assert (await anext(watch)).progress[0].waiting == 1
    await store.report("a", "ON_PROBATION")
    store.rollouts.wake()
    assert (await anext(watch)).progress[0].under_way == 1
    await store.report("a", "PROVEN")
    store.rollouts.wake()
    assert (await anext(watch)).record.state == COMPLETED
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_many_movers_at_once_do_each_step_once(store: RolloutStore) -> None:
    await store.enroll(*(f"a-{number}" for number in range(50)))
    await store.create(rollout(wave(percent=50), wave()))
    for record in await store.rows():
        await store.reports.keep(
            record.agent_id, rollout_pb2.ReleaseReport(rollout="rollouts/june", state=rollout_pb2.ReleaseReport.PROVEN)
        )
    await asyncio.gather(*(store.engine.move(None) for _ in range(8)))
    said = [one.detail for one in await store.events() if one.type == "ROLLOUT_CHANGED"]
    assert len(said) == len(set(said))
    assert len(await store.told()) == 50


async def test_a_step_that_breaks_off_leaves_nothing_and_is_done_the_next_time(store: RolloutStore) -> None:
    await two_sites(store)
    await store.create(rollout(wave("labels.site = oslo"), wave()))
    for agent_id in ("oslo-1", "oslo-2"):
        await store.reports.keep(agent_id, rollout_pb2.ReleaseReport(rollout="rollouts/june", state=rollout_pb2.ReleaseReport.PROVEN))
    engine, broken = store.database._engine, True  # the fault is the database's own

    def break_off(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if broken and statement.startswith("UPDATE agents"):
            raise SeawallError(Reason.INTERNAL, "the power is cut")

    event.listen(engine, "before_cursor_execute", break_off)
    with pytest.raises(SeawallError):
        await store.engine.move(None)
    assert len(await store.told()) == 2
    broken = False
    await store.engine.move(None)
    assert len(await store.told()) == 4


async def test_agents_that_did_not_change_cost_no_write(store: RolloutStore) -> None:
    await store.enroll("a")
    await store.create(rollout())
    before = await store.events()
    await store.report("a", "FETCHING", done_bytes=1, total_bytes=9)
    await store.report("a", "FETCHING", done_bytes=5, total_bytes=9)
    await store.report("a", "FETCHING", done_bytes=5, total_bytes=9)
    after = (await store.events())[len(before) :]
    assert [(one.type, one.detail) for one in after] == [("RELEASE_REPORTED", "rollouts/june FETCHING")]


async def test_a_large_wave_is_chosen_over_several_writes_and_settled_only_when_all_are(store: RolloutStore) -> None:
    """The others come by a signal; a hub that dies before it hears it finds them when the wave would be settled."""
    await store.enroll(*(f"a-{number}" for number in range(CHOSEN_AT_ONCE + 5)))
    await store.create(rollout())
    first = await store.told()
    assert len(first) == CHOSEN_AT_ONCE
    proven = rollout_pb2.ReleaseReport(rollout="rollouts/june", state=rollout_pb2.ReleaseReport.PROVEN)
    await asyncio.gather(*(store.reports.keep(agent_id, proven) for agent_id in first))
    await store.engine.move(frozenset())
    assert len(await store.told()) == CHOSEN_AT_ONCE + 5
    assert await store.state() == ACTIVE
