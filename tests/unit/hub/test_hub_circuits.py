"""What is shown of the circuit breakers."""

import pytest

from hub.config import Limits
from hub.escalation.circuits import Circuits
from hub.escalation.providers.base import ProviderFailed
from tests.fakes.fleet_agent import eventually


async def fail(circuits: Circuits, error_type: str = "timeout") -> None:
    with pytest.raises(ProviderFailed):
        async with circuits.closed("house"):
            raise ProviderFailed(error_type)


async def answers(circuits: Circuits) -> bool:
    try:
        async with circuits.closed("house"):
            return True
    except ProviderFailed:
        return False


async def test_a_circuit_is_shown_as_open_until_a_prompt_has_tried_it_with_success() -> None:
    circuits = Circuits(Limits(breaker_failures=2, breaker_seconds=0.05))
    assert circuits.open_ones() == {}
    await fail(circuits)
    assert circuits.open_ones() == {"house": False}
    await fail(circuits)
    assert circuits.open_ones() == {"house": True}
    await eventually(lambda: answers(circuits))
    assert circuits.open_ones() == {"house": False}
