"""What is told around a prompt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.surroundings import stepped


@pytest.mark.parametrize(("number", "step"), [(-1, 0), (0, 0), (1, 1), (2, 2), (3, 2), (4095, 2048), (4096, 4096)])
def test_a_number_changes_in_steps(number: int, step: int) -> None:
    assert stepped(number) == step


@given(st.integers(1, 2**62))
def test_a_step_says_no_more_than_there_is_and_no_less_than_half(number: int) -> None:
    assert stepped(number) <= number < 2 * stepped(number)
