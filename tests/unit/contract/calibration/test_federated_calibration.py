"""Twenty sites that see different things fit one map through the real secure sum, and it is as good as one fitted in one place."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from random import Random
from statistics import fmean

import pytest

from benchmarks.calibration_fleet import GARBAGE, Judged, Site, brier, central_map, ece, made_up_fleet
from benchmarks.calibration_rounds import learn, plain_sum, window
from contract.calibration.cohorts import CohortSum
from contract.calibration.fitting import fit
from contract.calibration.maps import CONFIDENCE, SAME, Map
from contract.calibration.sums import NORM, SCALE_BITS, SURPRISE_NORM, entries, schema_digest
from contract.privacy_noise import Noise
from contract.secagg.masks import from_vector, to_vector
from contract.secagg.rules import Terms, fewest_honest
from contract.secagg.wire import Kind
from tests.fakes.secagg_cohort import Cohort

MODEL = "sha256:" + "a" * 64
SITES, WINDOWS = 20, (4, 8)
FLEETS = range(6)
SPOILT_FLEETS = range(2)


def secure_sum(
    vectors: Sequence[Sequence[int]], in_force: Map, variance: Fraction | None = None, lost: Mapping[str, Kind] = {}
) -> CohortSum:
    """Plays a round of the real protocol over vectors; with a variance, each device adds its part of the noise."""
    cohort = Cohort(len(vectors), entries(CONFIDENCE))
    cohort.terms = Terms(cohort.terms.window, schema_digest(CONFIDENCE, MODEL, in_force), entries(CONFIDENCE), SCALE_BITS)
    plan, each = cohort.plan(), 0.0
    contribution: Callable[[Sequence[int]], bytes] = to_vector
    if variance is not None:
        bits, noise = Random(3).getrandbits, Noise(NORM, variance, fewest_honest(plan))
        contribution, each = (lambda values: noise.contribution(values, bits)), float(noise.variance_each)
    cohort.values = {agent: list(from_vector(contribution(values))) for agent, values in zip(cohort.agents, vectors, strict=True)}
    found = cohort.run(lost, plan)
    return CohortSum(len(found.agents), found.values, each * len(found.agents))


@cache
def fleet(seed: int) -> tuple[tuple[Site, ...], tuple[Judged, ...]]:
    """Sites, and answers of theirs that nothing is fitted to."""
    random = Random(seed)
    sites = made_up_fleet(SITES, random)
    return tuple(sites), tuple(answer for site in sites for _ in range(12) for answer in site.window(random))


@cache
def learnt(seed: int) -> tuple[Map, list[Judged]]:
    """The map, and all the answers that it was fitted to."""
    return learn(fleet(seed)[0], Random(seed), WINDOWS)


def test_the_error_on_answers_held_out_is_near_that_of_a_map_fitted_in_one_place() -> None:
    maps = [(seed, learnt(seed)[0], central_map(learnt(seed)[1])) for seed in FLEETS]
    for error in (ece, brier):
        ours = fmean(error(own, fleet(seed)[1]) for seed, own, _ in maps)
        assert ours <= 1.1 * fmean(error(central, fleet(seed)[1]) for seed, _, central in maps)
        assert ours < 0.9 * fmean(error(SAME, fleet(seed)[1]) for seed, *_ in maps)


@pytest.mark.parametrize("kind", GARBAGE)
def test_one_site_with_garbage_in_its_data_moves_the_error_by_a_hundredth_at_most(kind: str) -> None:
    for seed in SPOILT_FLEETS:
        sites, held_out = fleet(seed)
        spoilt, _ = learn(sites, Random(seed), WINDOWS, garbage=GARBAGE[kind])
        for error in (ece, brier):
            assert abs(error(spoilt, held_out) - error(learnt(seed)[0], held_out)) <= 0.01


def test_the_secure_sum_gives_the_very_map_that_a_plain_one_does() -> None:
    sites, _ = fleet(0)
    assert learn(sites, Random(0), WINDOWS, secure_sum)[0] == learnt(0)[0]


def test_devices_that_are_lost_are_left_out_and_nothing_else_changes() -> None:
    vectors, _ = window(fleet(1)[0], Random(5), SAME)
    lost = {f"agent-{number}": kind for number, kind in ((3, Kind.MASKED), (7, Kind.SHARES), (11, Kind.UNMASKING))}
    found = secure_sum(vectors, SAME, lost=lost)
    kept = [vector for agent, vector in zip(Cohort(SITES).agents, vectors, strict=True) if agent not in ("agent-3", "agent-7")]
    assert found == plain_sum(kept, SAME)


def test_with_noise_the_map_moves_by_as_much_as_the_noise_explains_and_no_cohort_is_discarded() -> None:
    near, window_count = learnt(2)[0], 4
    random = Random(9)
    sums = [secure_sum(window(fleet(2)[0], random, near)[0], near, Fraction(1500**2)) for _ in range(window_count)]
    step = fit(CONFIDENCE, near, sums)
    assert step.discarded == {}
    assert ece(step.map, fleet(2)[1]) < ece(near, fleet(2)[1]) + 0.06
    assert step.map != near


def test_a_modified_client_that_breaks_the_norm_makes_its_cohorts_result_discarded() -> None:
    near, random = learnt(2)[0], Random(9)
    honest = [secure_sum(window(fleet(seed)[0], random, near)[0], near) for seed in range(3)]
    vectors, _ = window(fleet(2)[0], random, near)
    vectors[3][0] = -30 * SURPRISE_NORM
    step = fit(CONFIDENCE, near, [*honest, secure_sum(vectors, near)])
    assert set(step.discarded) == {len(honest)}
    assert step.map == fit(CONFIDENCE, near, honest).map
