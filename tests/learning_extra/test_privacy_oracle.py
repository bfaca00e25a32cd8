"""The account beside Google's dp-accounting: `make test-learning`, in a venv of its own."""

import pytest
from dp_accounting import GaussianDpEvent, SelfComposedDpEvent
from dp_accounting.rdp import RdpAccountant

from contract.privacy_account import Account, epsilon

ORDERS = [1 + 10 ** (power / 50) for power in range(-200, 250)]


@pytest.mark.parametrize("queries", [1, 12, 52, 520])
@pytest.mark.parametrize("noise", [0.5, 2.0, 10.0, 60.0])
@pytest.mark.parametrize("delta", [1e-5, 1e-9])
def test_epsilon_is_within_one_percent_of_the_oracles(noise: float, queries: int, delta: float) -> None:
    oracle = RdpAccountant(ORDERS)
    oracle.compose(SelfComposedDpEvent(GaussianDpEvent(noise), queries))
    ours = Account(queries / (2 * noise**2)).epsilon(delta)
    assert ours == pytest.approx(oracle.get_epsilon(delta), rel=0.01, abs=1e-9)


def test_the_oracle_differs_where_rho_does() -> None:
    oracle = RdpAccountant(ORDERS)
    oracle.compose(GaussianDpEvent(2.0))
    assert epsilon(0.130, 1e-6) != pytest.approx(oracle.get_epsilon(1e-6), rel=0.01)
