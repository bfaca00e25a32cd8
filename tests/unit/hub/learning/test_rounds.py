"""Rounds from end to end: real devices behind a grid that loses, the hub's store, what is kept of each."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from contract.errors import InvalidRequest, Reason, SeawallError, Unavailable
from contract.learning import NOISE_MULTIPLIER, windows_over
from contract.secagg.roster import Roster
from contract.secagg.rules import least_threshold
from contract.secagg.wire import Kind
from contract.subjects import USAGE
from hub.learning.conductor import ENDED
from hub.learning.planning import Wanted
from hub.learning.rosters import RosterFit
from hub.learning.rounds import By, Rounds
from hub.store import agents, events, learning, replicas
from hub.store.learning import FAILED, PENDING, RUNNING, SUCCEEDED
from tests.fakes.grid import STAGE_OF, Fate, dice
from tests.fakes.learning_fleet import BY, NOW, WINDOW, LearningFleet, learning_fleet
from tests.fakes.secagg_cohort import refused

SIZE = 8
AGAIN = By(BY.actor, "22222222-2222-4222-8222-222222222222")
STAGES = tuple(STAGE_OF.values())


@pytest.fixture
async def fleet() -> AsyncIterator[LearningFleet]:
    with learning_fleet(SIZE) as made:
        await made.begin()
        await made.enroll()
        for number, device in enumerate(made.devices.values()):
            await device.use(number)
        yield made


async def change(fleet: LearningFleet, agent_id: str, **values: object) -> None:
    await fleet.database.write(lambda connection: agents.change(connection, agent_id, **values))


async def exposed(fleet: LearningFleet) -> set[str]:
    found = await fleet.database.read(lambda connection: learning.asked(connection, WINDOW))
    return {agent for agent, is_exposed in found.items() if is_exposed}


async def test_a_sum_without_noise_is_that_of_what_the_devices_have_counted(fleet: LearningFleet) -> None:
    ended = await fleet.play(Wanted(is_exact=True))
    assert (ended.state, ended.window, ended.creator, len(ended.cohorts)) == (SUCCEEDED, WINDOW, BY.actor, 1)
    [cohort] = ended.cohorts
    assert (cohort.contributors, cohort.rho, cohort.variance, len(cohort.sums)) == (SIZE, 0.0, 0.0, USAGE.entries)
    assert cohort.sums == fleet.sum_of(iter(fleet.devices))
    assert cohort.sums[0] == sum(range(SIZE))
    assert sum(cohort.lost.values()) == 0


async def test_a_sum_with_noise_is_the_devices_and_noise_of_the_amount_that_is_kept_beside_it(fleet: LearningFleet) -> None:
    [cohort] = (await fleet.play(Wanted())).cohorts
    true = fleet.sum_of(iter(fleet.devices))
    square = sum((noisy - exact) ** 2 for noisy, exact in zip(cohort.sums, true, strict=True)) / USAGE.entries
    assert 0.6 < square / cohort.variance < 1.5
    assert cohort.variance >= (NOISE_MULTIPLIER * USAGE.norm) ** 2
    assert cohort.rho == pytest.approx(1 / 32)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("fate", [Fate.UNANSWERED, Fate.LATE])
async def test_who_is_lost_or_late_at_a_stage_is_counted_there_and_the_sum_is_of_the_others(
    fleet: LearningFleet, stage: Kind, fate: Fate
) -> None:
    gone = {"agent-003", "agent-006"}
    fleet.grid.roll = lambda agent, awaited: fate if agent in gone and awaited is stage else Fate.CARRIED
    [cohort] = (await fleet.play(Wanted(is_exact=True))).cohorts
    assert cohort.state == SUCCEEDED
    assert cohort.lost == {"GATHERED": 0, **{each.name: 2 if each is stage else 0 for each in STAGES}}
    counted = sorted(fleet.grid.arrived[Kind.MASKED])
    assert cohort.contributors == len(counted)
    assert cohort.sums == fleet.sum_of(iter(counted))


@pytest.mark.parametrize("stage", STAGES)
async def test_a_round_that_too_few_are_left_of_says_at_which_stage(fleet: LearningFleet, stage: Kind) -> None:
    gone = {"agent-001", "agent-003", "agent-006"}
    fleet.grid.roll = lambda agent, awaited: Fate.LOST if agent in gone and awaited is stage else Fate.CARRIED
    ended = await fleet.play(Wanted(is_exact=True))
    [cohort] = ended.cohorts
    assert (ended.state, cohort.state, cohort.reason, cohort.stage) == (FAILED, FAILED, Reason.ROUND_SHORT, stage.name)
    assert cohort.lost[stage.name] == 3
    assert cohort.sums == ()
    spent = {agent for agent, device in fleet.devices.items() if device.ledger.contributions()}
    assert spent <= await exposed(fleet)
    assert bool(spent) == (stage in (Kind.MASKED, Kind.CONSENT, Kind.UNMASKING))


@pytest.mark.parametrize("stage", [Kind.KEYS, Kind.SHARES, Kind.CONSENT, Kind.UNMASKING])
async def test_a_spoiled_answer_costs_its_device_or_the_round_and_never_makes_a_wrong_sum(fleet: LearningFleet, stage: Kind) -> None:
    fleet.grid.roll = lambda agent, awaited: Fate.SPOILED if agent == "agent-003" and awaited is stage else Fate.CARRIED
    [cohort] = (await fleet.play(Wanted(is_exact=True))).cohorts
    if cohort.state == SUCCEEDED:
        assert cohort.sums == fleet.sum_of(iter(sorted(fleet.grid.arrived[Kind.MASKED])))
    else:
        assert (cohort.reason, cohort.sums) == (Reason.ROUND_SHARE_INVALID, ())


async def test_who_does_not_come_costs_the_round_nothing(fleet: LearningFleet) -> None:
    del fleet.grid.devices["agent-003"]
    [cohort] = (await fleet.play(Wanted(is_exact=True))).cohorts
    assert (cohort.size, cohort.contributors, cohort.lost["GATHERED"]) == (SIZE, SIZE - 1, 1)
    assert cohort.threshold == least_threshold(SIZE - 1)
    assert "agent-003" not in await exposed(fleet)


async def test_where_too_few_come_nobody_is_asked(fleet: LearningFleet) -> None:
    for number in range(5):
        del fleet.grid.devices[f"agent-{number:03}"]
    ended = await fleet.play(Wanted(is_exact=True))
    assert [(cohort.reason, cohort.stage) for cohort in ended.cohorts] == [(Reason.COHORT_TOO_SMALL, "GATHERED")]
    assert not fleet.grid.crossed
    assert not await exposed(fleet)


async def test_the_same_request_makes_one_round(fleet: LearningFleet) -> None:
    first = await fleet.play(Wanted(is_exact=True))
    assert await fleet.play(Wanted(window="nonsense"), BY) == first
    rounds, _ = fleet.process()
    assert await rounds.page(None, 10) == [first]


async def test_a_window_that_may_be_spent_is_not_asked_for_again(fleet: LearningFleet) -> None:
    await fleet.play(Wanted(is_exact=True))
    with refused(Reason.COHORT_TOO_SMALL):
        await fleet.play(Wanted(is_exact=True), AGAIN)
    earlier = await fleet.play(Wanted(windows_over(NOW)[1], is_exact=True), AGAIN)
    assert earlier.state == SUCCEEDED


async def test_who_was_asked_and_could_not_spend_the_window_may_be_asked_again_by_hand(fleet: LearningFleet) -> None:
    fleet.grid.roll = lambda _, stage: Fate.LOST if stage is Kind.SHARES else Fate.CARRIED
    assert (await fleet.play(Wanted(is_exact=True))).state == FAILED
    fleet.grid.roll = lambda *_: Fate.CARRIED
    assert (await fleet.play(Wanted(is_exact=True), AGAIN)).state == SUCCEEDED


Change = Callable[[LearningFleet, str], Awaitable[None]]


@pytest.mark.parametrize(
    "values",
    [
        {"state": agents.SUSPENDED},
        {"replica_id": None},
        {"last_seen_time": NOW - timedelta(hours=1)},
        {"member_key_hash": "f" * 64},
        {"member_key_hash": None},
    ],
    ids=["suspended", "not connected", "silent", "with another member key than the roster's", "that has said no member key"],
)
async def test_an_agent_that_cannot_answer_is_not_asked(fleet: LearningFleet, values: dict[str, object]) -> None:
    await change(fleet, "agent-005", **values)
    [cohort] = (await fleet.play(Wanted(is_exact=True))).cohorts
    assert cohort.size == SIZE - 1
    assert fleet.grid.gathered == [set(fleet.devices) - {"agent-005"}]


async def test_an_agent_that_is_in_no_roster_and_has_said_no_member_key_is_not_asked(fleet: LearningFleet) -> None:
    await change(fleet, "agent-005", member_key_hash=None)
    fleet.roster = Roster(2, {agent: key for agent, key in fleet.roster.members.items() if agent != "agent-005"})
    await fleet.play(Wanted(is_exact=True))
    assert fleet.grid.gathered == [set(fleet.devices) - {"agent-005"}]


async def test_agents_are_asked_by_group_and_those_of_small_ones_together() -> None:
    with learning_fleet(22) as fleet:
        await fleet.begin()
        await fleet.enroll(lambda number: "abc"[number // 8], lambda _: "eu")
        ended = await fleet.play(Wanted(group_by=("model", "labels.region"), is_exact=True))
        found = [(cohort.group, cohort.contributors) for cohort in ended.cohorts]
        named = [{"model": model, "labels.region": "eu"} for model in "abc"]
        assert found == [(named[0], 8), (named[1], 8), (named[2], 6)]
        rounds, _ = fleet.process()
        assert {group.group: group.contributors for group in await rounds.report(WINDOW, ["model"])} == {
            (("model", "a"),): 8,
            (("model", "b"),): 8,
            (("model", "c"),): 6,
        }


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.system) for seed in range(1, 30))])
async def test_in_a_fleet_that_loses_at_every_stage_every_sum_is_exact(seed: int) -> None:
    with learning_fleet(24, roll=dice(seed, 0.04)) as fleet:
        await fleet.begin()
        await fleet.enroll(lambda number: "ab"[number % 2])
        for number, device in enumerate(fleet.devices.values()):
            await device.use(number % 5)
        ended = await fleet.play(Wanted(group_by=("model",), is_exact=True))
        check_exact(fleet, ended.cohorts)


def check_exact(fleet: LearningFleet, cohorts: tuple[learning.CohortRecord, ...]) -> int:
    """Every sum is that of the vectors which have come from its cohort; returns how many sums there are."""
    sums = [cohort for cohort in cohorts if cohort.state == SUCCEEDED]
    whole = fleet.grid.gathered
    for cohort in sums:
        of_cohort = [sorted(fleet.grid.arrived[Kind.MASKED] & members) for members in whole]
        assert cohort.sums in [fleet.sum_of(iter(agents)) for agents in of_cohort if len(agents) == cohort.contributors]
    return len(sums)


async def test_a_round_whose_process_is_gone_is_failed_and_its_windows_are_spent(fleet: LearningFleet) -> None:
    rounds, _ = fleet.process()
    made = await rounds.create(Wanted(is_exact=True), BY)
    cohort = learning.CohortRecord({}, SIZE)
    running = replace(made, state=RUNNING, replica_id="r1", cohorts=(cohort,))
    await fleet.database.write(lambda connection: learning.begin(connection, running, list(fleet.devices)))
    _, conductor = fleet.process("r2")
    await conductor.sweep()
    assert (await rounds.get(made.round_id)).state == RUNNING, "its process is there"
    await fleet.database.write(lambda connection: replicas.remove(connection, ["r1"]))
    await conductor.sweep()
    ended = await rounds.get(made.round_id)
    assert (ended.state, ended.reason, ended.end_time) == (FAILED, Reason.ROUND_INTERRUPTED, NOW)
    assert ended.cohorts[0].reason == Reason.ROUND_INTERRUPTED
    assert await exposed(fleet) == set(fleet.devices)
    with refused(Reason.COHORT_TOO_SMALL):
        await rounds.create(Wanted(is_exact=True), AGAIN)


async def test_a_round_that_could_not_be_ended_is_failed_by_its_own_process(fleet: LearningFleet) -> None:
    rounds, conductor = fleet.process("r1")
    made = await rounds.create(Wanted(is_exact=True), BY)
    left = replace(made, state=RUNNING, replica_id="r1", cohorts=(learning.CohortRecord({}, SIZE),))
    await fleet.database.write(lambda connection: learning.begin(connection, left, list(fleet.devices)))
    await conductor.sweep()
    assert (await rounds.get(made.round_id)).reason == Reason.ROUND_INTERRUPTED


async def test_a_round_that_is_conducted_is_left_to_go_on(fleet: LearningFleet) -> None:
    rounds, conductor = fleet.process("r1")
    made = await rounds.create(Wanted(is_exact=True), BY)
    fleet.grid.meanwhile = conductor.sweep
    await conductor.conduct_pending()
    assert (await rounds.get(made.round_id)).state == SUCCEEDED


async def test_a_round_that_another_process_has_ended_meanwhile_stays_ended_and_ends_once() -> None:
    with learning_fleet(3 * SIZE) as fleet:
        await fleet.begin()
        await fleet.enroll(labels=lambda number: "abc"[number % 3])
        rounds, conductor = fleet.process("r1")
        _, other = fleet.process("r2")
        made = await rounds.create(Wanted(group_by=("labels.region",), is_exact=True), BY)

        async def take_for_gone() -> None:
            await fleet.database.write(lambda connection: replicas.remove(connection, ["r1"]))
            await other.sweep()

        fleet.grid.meanwhile = take_for_gone
        await conductor.conduct_pending()
        ended = await rounds.get(made.round_id)
        assert (ended.state, ended.reason) == (FAILED, Reason.ROUND_INTERRUPTED)
        assert [(cohort.state, cohort.reason) for cohort in ended.cohorts] == [(FAILED, Reason.ROUND_INTERRUPTED)] * 3
        assert await exposed(fleet) == set(fleet.devices)
        happened = await fleet.database.read(lambda connection: events.after(connection, 0, 100))
        assert [event.type for event in happened].count(ENDED) == 1


async def test_a_round_that_another_process_has_taken_meanwhile_is_left_to_it(fleet: LearningFleet) -> None:
    rounds, conductor = fleet.process("r1")
    _, other = fleet.process("r2")
    made = await rounds.create(Wanted(is_exact=True), BY)
    fleet.grid.roll = lambda _, stage: Fate.LOST if stage is Kind.SHARES else Fate.CARRIED
    await conductor.conduct_pending()
    ended = await rounds.get(made.round_id)
    fleet.grid.roll = lambda *_: Fate.CARRIED
    await other._conduct(made)  # as it was before the first one took it
    assert await rounds.get(made.round_id) == ended
    assert len(fleet.grid.gathered) == 1


async def test_another_process_conducts_what_one_was_asked_for(fleet: LearningFleet) -> None:
    rounds, _ = fleet.process("r1")
    made = await rounds.create(Wanted(is_exact=True), BY)
    assert made.state == PENDING
    _, conductor = fleet.process("r2")
    await conductor.conduct_pending()
    assert (await rounds.get(made.round_id)).state == SUCCEEDED


async def test_the_hub_by_itself_asks_each_agent_once_for_each_week(fleet: LearningFleet) -> None:
    rounds, conductor = fleet.process()
    fleet.grid.roll = lambda _, stage: Fate.LOST if stage is Kind.KEYS else Fate.CARRIED
    for _ in range(2):
        await conductor.look()
        await conductor.conduct_pending()
    found = await rounds.page(None, 10)
    assert sorted(one.window for one in found) == sorted(windows_over(NOW))
    assert {one.creator for one in found} == {""}


async def test_what_the_hub_has_asked_for_and_still_has_to_conduct_is_not_asked_for_again(fleet: LearningFleet) -> None:
    rounds, conductor = fleet.process()
    await conductor.look()
    await conductor.look()
    assert len(await rounds.page(None, 10)) == len(windows_over(NOW))


async def test_a_hub_without_rounds_and_orders_that_make_no_sense_are_refused(fleet: LearningFleet) -> None:
    rounds, _ = fleet.process()
    for wanted in (
        Wanted(window="2026-W48"),
        Wanted(window="2026-W43"),
        Wanted(window="now"),
        Wanted(group_by=("name",)),
        Wanted(group_by=("labels.",)),
        Wanted(group_by=("model", "model")),
    ):
        with refused(Reason.FIELD_INVALID):
            await rounds.create(wanted, BY)
    off = Rounds(fleet.database, None, None, fleet.settings, None, is_on=False)  # type: ignore[arg-type]  # nothing of it is touched
    with refused(Reason.LEARNING_OFF):
        await off.create(Wanted(), BY)
    with refused(Reason.ROUND_NOT_FOUND):
        await rounds.get("2026-w47-00000000")


@pytest.mark.parametrize(
    "error", [Unavailable(Reason.HUB_UNAVAILABLE, "No blobs."), InvalidRequest(Reason.ROSTER_INVALID, "Of format 1.")], ids=["away", "old"]
)
async def test_why_no_roster_can_be_used_is_told_and_hides_no_rounds(fleet: LearningFleet, error: SeawallError) -> None:
    async def newest_roster() -> Roster:
        raise error

    rounds = Rounds(fleet.database, None, newest_roster, fleet.settings, None, is_on=False)  # type: ignore[arg-type]  # likewise
    assert await rounds.roster_fit() == RosterFit(0, len(fleet.devices), len(fleet.devices), error.reason)


async def test_no_device_sends_its_counts_in_clear(fleet: LearningFleet) -> None:
    await fleet.play(Wanted(is_exact=True))
    own = [sum(count << 64 * place for place, count in enumerate(device.counts())) for device in fleet.devices.values()]
    for counts in own:
        vector = counts.to_bytes(8 * USAGE.entries, "little")
        assert not any(vector in sent for sent in fleet.grid.crossed)
