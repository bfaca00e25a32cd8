"""The account of what a device has given away. `make test-learning` holds it against dp-accounting."""

from fractions import Fraction
from math import inf, log, nan, sqrt

import pytest

from contract.errors import NotPermitted, Reason
from contract.privacy_account import Account, Budget, epsilon, rho_of_sum


def test_nothing_given_away_is_nothing() -> None:
    assert epsilon(0.0, 1e-6) == 0
    assert Account().epsilon(1e-6) == 0


@pytest.mark.parametrize("rho", [0.001, 0.1, 1.0, 10.0])
def test_epsilon_is_below_the_simple_bound_and_above_rho(rho: float) -> None:
    """Bun and Steinke (2016), proposition 1.3: rho + 2 sqrt(rho log 1/delta)."""
    for delta in (1e-3, 1e-6, 1e-9):
        assert rho < epsilon(rho, delta) < rho + 2 * sqrt(rho * log(1 / delta))


@pytest.mark.parametrize(
    ("noise", "queries", "delta", "oracle"), [(2.0, 1, 1e-5, 2.16589), (10.0, 52, 1e-6, 3.62081), (60.0, 520, 1e-9, 2.28503)]
)
def test_epsilon_is_what_dp_accounting_says_of_gaussians(noise: float, queries: int, delta: float, oracle: float) -> None:
    """Numbers of dp-accounting 0.6.0; tests/learning_extra asks it itself."""
    assert epsilon(queries / (2 * noise**2), delta) == pytest.approx(oracle, rel=0.001)


def test_what_stays_below_delta_in_all_is_no_epsilon() -> None:
    """Pinsker: a rho of 1e-6 moves no event by more than sqrt(rho / 2), which is below this delta."""
    assert epsilon(1e-6, 1e-3) == 0


def test_epsilon_grows_with_rho_and_falls_with_delta() -> None:
    found = [epsilon(rho, 1e-6) for rho in (0.01, 0.02, 0.5, 3.0)]
    assert found == sorted(found)
    assert epsilon(0.5, 1e-9) > epsilon(0.5, 1e-6)


def test_with_much_noise_a_sum_of_parts_hides_as_one_gaussian_of_their_variance() -> None:
    assert rho_of_sum(10.0, Fraction(100), 22, 1024) == pytest.approx(100 / (2 * 22 * 100), rel=1e-9)
    assert rho_of_sum(10.0, Fraction(100), 1, 1024) == pytest.approx(100 / (2 * 100), rel=1e-12)


def test_with_little_noise_the_gap_between_a_sum_and_one_gaussian_is_counted() -> None:
    assert rho_of_sum(1.0, Fraction(1, 4), 22, 1024) > 10 / (2 * 22 * 0.25)


def test_queries_add_up_until_the_budget_is_spent() -> None:
    budget, account, rho = Budget(1.0, 1e-6), Account(), 0.004
    queries = next(count for count in range(1, 100) if epsilon((count + 1) * rho, 1e-6) > 1.0)
    for _ in range(queries):
        account = account.spend(rho, budget)
    assert account.rho == pytest.approx(queries * rho)
    with pytest.raises(NotPermitted) as caught:
        account.spend(rho, budget)
    assert caught.value.reason is Reason.PRIVACY_SPENT


@pytest.mark.parametrize("rho", [0.0, -1.0, nan, inf])
def test_what_is_no_cost_is_refused(rho: float) -> None:
    with pytest.raises(NotPermitted):
        Account().spend(rho, Budget(1.0, 1e-6))
