import math
from collections import Counter

import numpy as np
import pytest

from agent.inference.sampling import Sampler, check_sampling, log_probability
from agent.prompts import Sampling
from contract.errors import InvalidRequest, Reason

LOGITS = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))


def draws(sampling: Sampling, count: int = 4000, prompt: tuple[int, ...] = ()) -> Counter[int]:
    random = np.random.default_rng(7)
    return Counter(Sampler(sampling, prompt, random).choose(LOGITS) for _ in range(count))


def test_temperature_zero_takes_the_likeliest() -> None:
    assert draws(Sampling(), 10) == {0: 10}


def test_temperature_one_draws_by_probability() -> None:
    counts = draws(Sampling(temperature=1.0))
    assert [counts[token] / 4000 for token in range(4)] == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)


def test_a_low_temperature_sharpens() -> None:
    counts = draws(Sampling(temperature=0.5))
    assert counts[0] / 4000 == pytest.approx(0.25 / (0.25 + 0.09 + 0.0225 + 0.0025), abs=0.03)


def test_top_k_leaves_the_k_likeliest() -> None:
    assert set(draws(Sampling(temperature=2.0, top_k=2))) == {0, 1}


def test_top_p_leaves_the_fewest_tokens_that_hold_it() -> None:
    assert set(draws(Sampling(temperature=1.0, top_p=0.5))) == {0}
    assert set(draws(Sampling(temperature=1.0, top_p=0.6))) == {0, 1}
    assert set(draws(Sampling(temperature=1.0, top_p=0.9))) == {0, 1, 2}


def test_the_same_seed_gives_the_same_tokens() -> None:
    def run(seed: int) -> list[int]:
        sampler = Sampler(Sampling(temperature=1.0), (), np.random.default_rng(seed))
        return [sampler.choose(LOGITS) for _ in range(50)]

    assert run(3) == run(3) != run(4)


def test_a_repetition_penalty_counts_prompt_and_answer() -> None:
    logits = np.array([2.0, 1.9, 1.8, -1.0], np.float32)
    sampler = Sampler(Sampling(repetition_penalty=1.5), (0,), np.random.default_rng(0))
    assert [sampler.choose(logits) for _ in range(3)] == [1, 2, 0]


def test_a_repetition_penalty_makes_negative_logits_smaller() -> None:
    logits = np.array([-1.0, -1.2], np.float32)
    assert Sampler(Sampling(repetition_penalty=1.5), (0,), np.random.default_rng(0)).choose(logits) == 1


def test_choosing_leaves_the_logits_as_they_are() -> None:
    logits = LOGITS.copy()
    Sampler(Sampling(temperature=0.7, top_p=0.9, repetition_penalty=1.3), (1, 2), np.random.default_rng(0)).choose(logits)
    assert np.array_equal(logits, LOGITS)


def test_log_probabilities_are_of_the_unmodified_distribution() -> None:
    logits = np.stack([LOGITS + 3, LOGITS - 800])
    assert log_probability(logits[0], 1) == pytest.approx(math.log(0.3), abs=1e-5)
    assert log_probability(logits[1], 3) == pytest.approx(math.log(0.05), abs=1e-3)


@pytest.mark.parametrize(
    ("sampling", "field"),
    [
        (Sampling(max_tokens=0), "max_tokens"),
        (Sampling(temperature=-0.1), "temperature"),
        (Sampling(temperature=math.nan), "temperature"),
        (Sampling(temperature=math.inf), "temperature"),
        (Sampling(top_p=0), "top_p"),
        (Sampling(top_p=1.1), "top_p"),
        (Sampling(top_k=-1), "top_k"),
        (Sampling(repetition_penalty=0), "repetition_penalty"),
        (Sampling(seed=-1), "seed"),
        (Sampling(stop=("x",) * 17), "stop"),
    ],
)
def test_values_that_mean_nothing_are_refused_by_name(sampling: Sampling, field: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{field} ") as caught:
        check_sampling(sampling)
    assert caught.value.reason is Reason.FIELD_INVALID
