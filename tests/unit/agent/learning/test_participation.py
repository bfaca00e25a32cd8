"""A device's part in rounds: by its own limits, one round at a time, and no window twice."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Event

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from contract import usage
from contract.calibration.maps import Map
from contract.calibration.sums import ANSWER_UNITS
from contract.errors import Reason, SeawallError
from contract.learning import rho_of, terms, windows_over
from contract.learning_limits import LearningLimits
from contract.secagg.masks import signed
from contract.secagg.messages import KeyList, Plan
from contract.secagg.roster import Roster
from contract.secagg.rules import least_threshold
from contract.secagg.server import Coordinator, Sum
from contract.secagg.wire import Kind
from contract.subjects import EMBEDDER, USAGE, Confidence, Judged, Similarity, Subject
from tests.fakes.learning_fleet import MODEL, NOW, OPEN, WINDOW, FakeAgent, LearningFleet, learning_fleet
from tests.fakes.secagg_cohort import STAGES, refused

SIZE = 4


@pytest.fixture
async def fleet() -> AsyncIterator[LearningFleet]:
    with learning_fleet(SIZE) as made:
        for device in made.devices.values():
            await device.use(2)
        yield made


def plan(fleet: LearningFleet, is_exact: bool = False, window: str = WINDOW, cohort: Sequence[str] = (), subject: Subject = USAGE) -> Plan:
    asked, names = terms(subject, window, is_exact), tuple(cohort or fleet.devices)
    fields = (asked.window, asked.schema, asked.entries, asked.scale_bits, least_threshold(len(names)))
    return Plan(fleet.random.randbytes(32), *fields, fleet.roster.version, fleet.roster.digest, names)


async def play(fleet: LearningFleet, asked: Plan, until: Kind = Kind.UNMASKING) -> Sum | None:
    """An honest hub's round, up to a stage."""
    coordinator = Coordinator(asked, fleet.roster)
    messages = coordinator.invitations()
    for stage in STAGES:
        for agent, message in messages.items():
            coordinator.receive(agent, await fleet.devices[agent].answer(message))
        if stage is until:
            break
        messages = coordinator.close_stage()
    if until is Kind.UNMASKING:
        coordinator.close_stage()
    return coordinator.sum


def first(fleet: LearningFleet) -> FakeAgent:
    return next(iter(fleet.devices.values()))


async def test_a_round_is_answered_and_remembered(fleet: LearningFleet) -> None:
    asked = plan(fleet)
    found = await play(fleet, asked)
    assert found is not None
    [one] = first(fleet).ledger.contributions()
    assert (one.window, one.round_id, one.cohort, one.is_exact) == (WINDOW, asked.round_id().hex(), SIZE, False)
    assert one.rho == pytest.approx(rho_of(USAGE, asked))
    assert one.counts is not None
    assert one.counts["route.local"] == 2
    assert found.values != fleet.sum_of(iter(fleet.devices)), "it bears noise"


async def test_a_window_is_contributed_once_also_after_a_restart(fleet: LearningFleet) -> None:
    await play(fleet, plan(fleet), until=Kind.MASKED)
    for device in fleet.devices.values():
        device.started()
    with refused(Reason.WINDOW_SPENT):
        await first(fleet).answer(plan(fleet, is_exact=True).to_bytes())


async def test_a_round_that_is_left_before_the_vector_costs_nothing(fleet: LearningFleet) -> None:
    await play(fleet, plan(fleet), until=Kind.SHARES)
    assert not first(fleet).ledger.contributions()
    assert await play(fleet, plan(fleet)) is not None


async def test_a_new_plan_ends_the_round_before(fleet: LearningFleet) -> None:
    device, old = first(fleet), plan(fleet)
    coordinator = Coordinator(old, fleet.roster)
    for agent, message in coordinator.invitations().items():
        coordinator.receive(agent, await fleet.devices[agent].answer(message))
    await device.answer(plan(fleet).to_bytes())
    with refused(Reason.ROUND_UNKNOWN):
        await device.answer(coordinator.close_stage()[device.agent_id])


async def test_a_round_does_not_go_on_over_what_carries_the_next(fleet: LearningFleet) -> None:
    device, coordinator = first(fleet), Coordinator(plan(fleet), fleet.roster)
    for agent, message in coordinator.invitations().items():
        coordinator.receive(agent, await fleet.devices[agent].answer(message))
    with refused(Reason.ROUND_UNKNOWN):
        await device.participation.afresh().answer(coordinator.close_stage()[device.agent_id])


async def test_what_belongs_to_no_round_is_refused(fleet: LearningFleet) -> None:
    device = first(fleet)
    coordinator = Coordinator(plan(fleet), fleet.roster)
    for agent, message in coordinator.invitations().items():
        coordinator.receive(agent, await fleet.devices[agent].answer(message))
    device.started()
    with refused(Reason.ROUND_UNKNOWN):
        await device.answer(coordinator.close_stage()[device.agent_id])
    with refused(Reason.ROUND_MESSAGE_INVALID):
        await device.answer(b"nothing")


async def test_a_device_whose_owner_says_no_takes_no_part(fleet: LearningFleet) -> None:
    first(fleet).limits = replace(OPEN, enabled=False)
    with refused(Reason.LEARNING_OFF):
        await first(fleet).answer(plan(fleet).to_bytes())


OFF = replace(OPEN, enabled=False)


@pytest.mark.parametrize(
    ("until", "limits"),
    [
        *((stage, OFF) for stage in (Kind.KEYS, Kind.SHARES, Kind.MASKED, Kind.CONSENT)),
        (Kind.SHARES, replace(OPEN, exact_cohort=5)),
        (Kind.SHARES, replace(OPEN, epsilon=1.0)),
    ],
)
async def test_a_device_whose_limits_change_within_a_round_leaves_it(fleet: LearningFleet, until: Kind, limits: LearningLimits) -> None:
    device, coordinator = first(fleet), Coordinator(plan(fleet), fleet.roster)
    messages = coordinator.invitations()
    for stage in STAGES:
        for agent, message in messages.items():
            coordinator.receive(agent, await fleet.devices[agent].answer(message))
        messages = coordinator.close_stage()
        if stage is until:
            break
    device.limits = limits
    spent = device.ledger.contributions()
    for reason in (Reason.LEARNING_OFF, Reason.ROUND_UNKNOWN):
        with refused(reason):
            await device.answer(messages[device.agent_id])
    assert device.ledger.contributions() == spent


async def test_a_device_that_is_cut_off_while_it_answers_has_left_the_round(fleet: LearningFleet) -> None:
    device, coordinator = first(fleet), Coordinator(plan(fleet), fleet.roster)
    for agent, message in coordinator.invitations().items():
        coordinator.receive(agent, await fleet.devices[agent].answer(message))
    message = coordinator.close_stage()[device.agent_id]
    free = Event()
    with ThreadPoolExecutor(1) as executor:
        asyncio.get_running_loop().set_default_executor(executor)
        executor.submit(free.wait)
        answering = asyncio.create_task(device.answer(message))
        await asyncio.sleep(0)
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        free.set()
        with refused(Reason.ROUND_UNKNOWN):
            await device.answer(message)


@pytest.mark.parametrize("is_exact", [True, False], ids=["without noise first", "with noise first"])
async def test_a_week_is_contributed_once_with_noise_or_without(fleet: LearningFleet, is_exact: bool) -> None:
    await play(fleet, plan(fleet, is_exact))
    with refused(Reason.WINDOW_SPENT):
        await first(fleet).answer(plan(fleet, not is_exact).to_bytes())
    assert len(first(fleet).ledger.contributions()) == 1


@pytest.mark.parametrize("threshold", [0, 1, 2, 255])
async def test_a_threshold_is_held_to_two_thirds_before_its_price_is_reckoned(fleet: LearningFleet, threshold: int) -> None:
    with refused(Reason.THRESHOLD_TOO_LOW):
        await first(fleet).answer(replace(plan(fleet), threshold=threshold).to_bytes())


NAMES = st.sampled_from([*(f"agent-{number:03}" for number in range(SIZE)), *(f"sybil-{number}" for number in range(80))])
MADE_UP = {
    "window": st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=64),
    "schema": st.binary(min_size=32, max_size=32),
    "entries": st.integers(0, 2**32 - 1),
    "scale_bits": st.integers(0, 255),
    "threshold": st.integers(0, 255).filter(lambda number: number not in (3, 4)),
    "roster_version": st.integers(0, 2**64 - 1),
    "roster_digest": st.binary(min_size=32, max_size=32),
    "cohort": st.lists(NAMES, unique=True).map(lambda names: tuple(sorted(names))),
}


def test_whatever_plan_a_hub_makes_up_is_refused_with_a_reason_and_spends_nothing() -> None:
    with learning_fleet(SIZE) as fleet:
        device = first(fleet)

        @settings(max_examples=200, deadline=None)
        @given(st.booleans(), st.fixed_dictionaries({}, optional=MADE_UP))
        def holds(is_exact: bool, changed: dict[str, object]) -> None:
            honest = plan(fleet, is_exact)
            made_up = replace(honest, **changed)  # type: ignore[arg-type]  # mypy takes all for one type
            assume(made_up != honest)
            asyncio.run(is_refused(device, made_up))

        holds()
        assert device.ledger.contributions() == []


async def is_refused(device: FakeAgent, made_up: Plan) -> None:
    """Nothing comes of it but an error of ours: another one would end the agent."""
    with pytest.raises(SeawallError):
        await device.answer(made_up.to_bytes())
    with refused(Reason.ROUND_UNKNOWN):
        await device.answer(KeyList(made_up.round_id(), ()).to_bytes())


@pytest.mark.parametrize(
    ("limits", "is_exact"),
    [
        (LearningLimits(True, smallest_cohort=SIZE + 1), False),
        (LearningLimits(True, smallest_cohort=SIZE), True),
        (LearningLimits(True, smallest_cohort=SIZE, exact_cohort=SIZE + 1), True),
    ],
)
async def test_a_cohort_that_is_too_small_for_this_device_is_refused(fleet: LearningFleet, limits: LearningLimits, is_exact: bool) -> None:
    first(fleet).limits = limits
    with refused(Reason.COHORT_TOO_SMALL):
        await first(fleet).answer(plan(fleet, is_exact).to_bytes())


async def test_a_sum_without_noise_is_of_no_fewer_devices_once_some_are_lost() -> None:
    limits = LearningLimits(True, smallest_cohort=4, exact_cohort=6)
    with learning_fleet(6, limits) as fleet:
        coordinator = Coordinator(plan(fleet, is_exact=True), fleet.roster)
        for agent, message in list(coordinator.invitations().items())[1:]:
            coordinator.receive(agent, await fleet.devices[agent].answer(message))
        for agent, message in coordinator.close_stage().items():
            with refused(Reason.ROUND_SHORT):
                await fleet.devices[agent].answer(message)


@pytest.mark.parametrize("weeks", [0, 5])
async def test_a_week_that_is_not_over_or_too_long_ago_is_refused(fleet: LearningFleet, weeks: int) -> None:
    window = windows_over(NOW - timedelta(weeks=weeks - 1))[0]
    with refused(Reason.SCHEMA_UNKNOWN):
        await first(fleet).answer(plan(fleet, window=window).to_bytes())


async def test_an_earlier_week_is_reported_for_a_hub_that_was_away(fleet: LearningFleet) -> None:
    assert await play(fleet, plan(fleet, window=windows_over(NOW)[3])) is not None


async def test_a_budget_that_is_spent_ends_the_part_with_noise(fleet: LearningFleet) -> None:
    first(fleet).limits = replace(OPEN, epsilon=0.5)
    asked = plan(fleet)
    coordinator = Coordinator(asked, fleet.roster)
    messages = coordinator.invitations()
    for _ in range(2):
        for agent, message in messages.items():
            coordinator.receive(agent, await fleet.devices[agent].answer(message))
        messages = coordinator.close_stage()
    with refused(Reason.PRIVACY_SPENT):
        await first(fleet).answer(messages[first(fleet).agent_id])
    assert not first(fleet).ledger.contributions()


async def test_a_roster_that_this_device_is_not_in_is_refused(fleet: LearningFleet) -> None:
    device = first(fleet)
    others = {name: key for name, key in fleet.roster.members.items() if name != device.agent_id}
    device.roster = lambda: Roster(1, others)
    with refused(Reason.ROSTER_UNKNOWN):
        await device.answer(plan(fleet).to_bytes())


async def test_nothing_but_the_counts_is_kept_of_a_week(fleet: LearningFleet) -> None:
    await play(fleet, plan(fleet, is_exact=True))
    counts = first(fleet).ledger.contributions()[0].counts
    assert counts is not None
    assert set(counts) <= set(usage.CELLS)


OTHER = "sha256:" + "1" * 64


@pytest.mark.parametrize(
    "subject",
    [
        Confidence(OTHER),
        Confidence(MODEL, Map(1.0, 0.1)),
        Confidence(OTHER, Map(1.0, 0.1)),
        Similarity(OTHER),
        Similarity(EMBEDDER, Map(2.0)),
    ],
    ids=["another model", "another map", "both", "another embedder", "another map of similarity"],
)
async def test_a_round_of_another_models_figures_or_under_another_map_is_refused(fleet: LearningFleet, subject: Judged) -> None:
    for is_exact in (False, True):
        with refused(Reason.SCHEMA_UNKNOWN):
            await first(fleet).answer(plan(fleet, is_exact, subject=subject).to_bytes())
    assert not first(fleet).ledger.contributions()


async def test_a_device_reports_its_confidence_by_the_map_that_it_has_now(fleet: LearningFleet) -> None:
    for device in fleet.devices.values():
        await device.judge([(0.7, True)])
        device.confidence = Confidence(MODEL, Map(2.0, 0.5))
    with refused(Reason.SCHEMA_UNKNOWN):
        await first(fleet).answer(plan(fleet, subject=Confidence(MODEL)).to_bytes())
    subject = first(fleet).confidence
    found = await play(fleet, plan(fleet, is_exact=True, subject=subject))
    assert found is not None
    assert signed(found.values) == fleet.sum_of(iter(fleet.devices), subject)
    assert signed(found.values)[2] == SIZE * ANSWER_UNITS


async def test_similarity_is_reported_by_the_map_that_a_device_has_now_beside_use_and_confidence(fleet: LearningFleet) -> None:
    for device in fleet.devices.values():
        await device.recall([(0.9, True), (0.8, False)])
        device.similarity = Similarity(EMBEDDER, Map(2.0, 0.5))
    subject = first(fleet).similarity
    found = await play(fleet, plan(fleet, is_exact=True, subject=subject))
    assert found is not None
    assert signed(found.values) == fleet.sum_of(iter(fleet.devices), subject)
    assert signed(found.values)[2] == 2 * SIZE * ANSWER_UNITS
    for other in (USAGE, first(fleet).confidence):
        assert await play(fleet, plan(fleet, is_exact=True, subject=other)) is not None
    assert {one.window for one in first(fleet).ledger.contributions()} == {WINDOW, f"{WINDOW}.confidence", f"{WINDOW}.similarity"}
    with refused(Reason.WINDOW_SPENT):
        await first(fleet).answer(plan(fleet, is_exact=True, subject=subject).to_bytes())


async def test_confidence_is_reported_once_a_week_whatever_the_map_and_beside_use(fleet: LearningFleet) -> None:
    await play(fleet, plan(fleet, subject=Confidence(MODEL)))
    for device in fleet.devices.values():
        device.confidence = Confidence(MODEL, Map(2.0, 0.5))
    with refused(Reason.WINDOW_SPENT):
        await first(fleet).answer(plan(fleet, is_exact=True, subject=first(fleet).confidence).to_bytes())
    asked = plan(fleet)
    assert await play(fleet, asked) is not None
    both = first(fleet).ledger.contributions()
    assert [one.window for one in both] == [WINDOW, f"{WINDOW}.confidence"]
    assert first(fleet).ledger.account().rho == pytest.approx(2 * rho_of(USAGE, asked))


async def test_a_week_of_one_subject_is_no_window_of_the_other(fleet: LearningFleet) -> None:
    for subject, window in ((USAGE, f"{WINDOW}.confidence"), (Confidence(MODEL), WINDOW), (Similarity(EMBEDDER), f"{WINDOW}.confidence")):
        with refused(Reason.SCHEMA_UNKNOWN):
            await first(fleet).answer(replace(plan(fleet, subject=subject), window=window).to_bytes())


@pytest.mark.parametrize("is_exact", [False, True])
async def test_the_same_limits_hold_for_confidence(fleet: LearningFleet, is_exact: bool) -> None:
    asked = plan(fleet, is_exact, subject=Confidence(MODEL)).to_bytes()
    first(fleet).limits = LearningLimits(True, smallest_cohort=SIZE + (not is_exact))
    with refused(Reason.COHORT_TOO_SMALL):
        await first(fleet).answer(asked)
    first(fleet).limits = replace(OPEN, enabled=False)
    with refused(Reason.LEARNING_OFF):
        await first(fleet).answer(asked)
