"""Twenty sites that see different things fit one map through the real secure sum, and it is as good as one fitted in one place."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from random import Random
from statistics import fmean

import pytest

from benchmarks.calibration_fleet import Judged, Site, brier, central_map, ece, made_up_fleet
from contract.calibration.cohorts import CohortSum
from contract.calibration.fitting import Step, fit
from contract.calibration.maps import CONFIDENCE, SAME, Map
from contract.calibration.sums import NORM, SCALE_BITS, SURPRISE_NORM, entries, schema_digest, tally
from contract.privacy_noise import Noise
from contract.secagg.masks import from_vector, to_vector
from contract.secagg.rules import Terms, fewest_honest
from contract.secagg.wire import Kind
from tests.fakes.secagg_cohort import Cohort

MODEL = "sha256:" + "a" * 64
SITES, FIRST_WINDOWS, LAST_WINDOWS = 20, 4, 8
FLEETS = range(6)
GARBAGE_AT = 3

Spoil = Callable[[list[Judged], Random], list[Judged]]


def secure_sum(
    vectors: Sequence[Sequence[int]], in_force: Map, variance: Fraction | None = None, lost: Mapping[str, Kind] = {}
) -> CohortSum:
    """Plays a round of the real protocol over vectors; with a variance, each device adds its part of the noise."""
    cohort = Cohort(len(vectors), entries(CONFIDENCE))
    cohort.terms = Terms(cohort.terms.window, schema_digest(CONFIDENCE, MODEL, in_force), entries(CONFIDENCE), SCALE_BITS)
    plan, each = cohort.plan(), 0.0
    contribution: Callable[[Sequence[int]], bytes] = to_vector
    if variance is not None:
        noise = Noise(NORM, variance, fewest_honest(plan))
        contribution, each = (lambda values: noise.contribution(values, secrets.randbits)), float(noise.variance_each)
    cohort.values = {agent: list(from_vector(contribution(values))) for agent, values in zip(cohort.agents, vectors, strict=True)}
    found = cohort.run(lost, plan)
    return CohortSum(len(found.agents), found.values, each * len(found.agents))


def plain_sum(vectors: Sequence[Sequence[int]], _in_force: Map) -> CohortSum:
    return CohortSum(len(vectors), tuple(map(sum, zip(*vectors, strict=True))))


Summed = Callable[[Sequence[Sequence[int]], Map], CohortSum]


@dataclass(frozen=True)
class Learnt:
    """What a fleet has learnt, and all the answers of the last map's windows."""

    step: Step
    judged: list[Judged]


def learn(sites: Sequence[Site], seed: int, summed: Summed = plain_sum, spoil: Spoil | None = None) -> Learnt:
    """Some windows with a map after each, then several windows under one map."""
    random, in_force = Random(seed), SAME
    for _ in range(FIRST_WINDOWS):
        in_force = fit(CONFIDENCE, in_force, [summed(window(sites, random, in_force, spoil)[0], in_force)]).map
    sums, judged = list[CohortSum](), list[Judged]()
    for _ in range(LAST_WINDOWS):
        vectors, answers = window(sites, random, in_force, spoil)
        sums.append(summed(vectors, in_force))
        judged += answers
    return Learnt(fit(CONFIDENCE, in_force, sums), judged)


def window(sites: Sequence[Site], random: Random, in_force: Map, spoil: Spoil | None) -> tuple[list[list[int]], list[Judged]]:
    answers = [site.window(random) for site in sites]
    reported = [spoil(own, Random(1)) if spoil and number == GARBAGE_AT else own for number, own in enumerate(answers)]
    return [tally(CONFIDENCE, in_force, own) for own in reported], [answer for own in answers for answer in own]


@cache
def fleet(seed: int) -> tuple[tuple[Site, ...], tuple[Judged, ...]]:
    """Sites, and answers of theirs that nothing is fitted to."""
    random = Random(seed)
    sites = made_up_fleet(SITES, random)
    return tuple(sites), tuple(answer for site in sites for _ in range(20) for answer in site.window(random))


@cache
def learnt(seed: int) -> Learnt:
    return learn(fleet(seed)[0], seed)


def test_the_error_on_answers_held_out_is_near_that_of_a_map_fitted_in_one_place() -> None:
    maps = [(seed, learnt(seed).step.map, central_map(learnt(seed).judged)) for seed in FLEETS]
    for error in (ece, brier):
        ours = fmean(error(own, fleet(seed)[1]) for seed, own, _ in maps)
        assert ours <= 1.1 * fmean(error(central, fleet(seed)[1]) for seed, _, central in maps)
        assert ours < 0.9 * fmean(error(SAME, fleet(seed)[1]) for seed, *_ in maps)


GARBAGE: dict[str, Spoil] = {
    "inverted": lambda judged, _: [(figure, not is_good) for figure, is_good in judged] * 9,
    "random": lambda judged, random: [(figure, random.random() < 0.5) for figure, _ in judged] * 9,
    "all bad": lambda judged, _: [(figure, False) for figure, _ in judged] * 9,
    "sure and bad": lambda _, __: [(0.999, False)] * 10_000,
    "unsure and good": lambda _, __: [(0.01, True)] * 10_000,
    "sure and good": lambda _, __: [(0.999, True)] * 10_000,
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_one_site_with_garbage_in_its_data_moves_the_error_by_a_hundredth_at_most(kind: str) -> None:
    for seed in FLEETS:
        sites, held_out = fleet(seed)
        spoilt = learn(sites, seed, spoil=GARBAGE[kind]).step.map
        for error in (ece, brier):
            assert abs(error(spoilt, held_out) - error(learnt(seed).step.map, held_out)) <= 0.01


def test_the_secure_sum_gives_the_very_map_that_a_plain_one_does() -> None:
    sites, _ = fleet(0)
    assert learn(sites, 0, summed=secure_sum).step == learnt(0).step


def test_devices_that_are_lost_are_left_out_and_nothing_else_changes() -> None:
    vectors, _ = window(fleet(1)[0], Random(5), SAME, None)
    lost = {f"agent-{number}": kind for number, kind in ((3, Kind.MASKED), (7, Kind.SHARES), (11, Kind.UNMASKING))}
    found = secure_sum(vectors, SAME, lost=lost)
    kept = [vector for agent, vector in zip(Cohort(SITES).agents, vectors, strict=True) if agent not in ("agent-3", "agent-7")]
    assert found == plain_sum(kept, SAME)


def test_with_noise_the_map_moves_by_as_much_as_the_noise_explains_and_no_cohort_is_discarded() -> None:
    near, window_count = learnt(2).step.map, 4
    random = Random(9)
    sums = [secure_sum(window(fleet(2)[0], random, near, None)[0], near, Fraction(1500**2)) for _ in range(window_count)]
    step = fit(CONFIDENCE, near, sums)
    assert step.discarded == {}
    assert ece(step.map, fleet(2)[1]) < ece(near, fleet(2)[1]) + 0.06
    assert step.map != near


def test_a_modified_client_that_breaks_the_norm_makes_its_cohorts_result_discarded() -> None:
    near, random = learnt(2).step.map, Random(9)
    honest = [secure_sum(window(fleet(seed)[0], random, near, None)[0], near) for seed in FLEETS]
    vectors, _ = window(fleet(2)[0], random, near, None)
    vectors[GARBAGE_AT][0] = -30 * SURPRISE_NORM
    step = fit(CONFIDENCE, near, [*honest, secure_sum(vectors, near)])
    assert set(step.discarded) == {len(honest)}
    assert step.map == fit(CONFIDENCE, near, honest).map
