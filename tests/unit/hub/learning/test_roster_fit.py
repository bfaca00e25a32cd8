"""How many agents a roster lacks."""

import pytest

from contract.secagg.roster import Roster
from hub.learning.rosters import RosterFit, fit

SIGNED = Roster(3, {"till-1": "a" * 64, "till-2": "b" * 64, "gone": "c" * 64})


@pytest.mark.parametrize(
    ("roster", "said", "missing"),
    [
        (SIGNED, {"till-1": "a" * 64, "till-2": "b" * 64}, 0),
        (SIGNED, {"till-1": "a" * 64, "till-2": "d" * 64, "till-3": "e" * 64}, 2),
        (SIGNED, {"till-3": "a" * 64}, 1),
        (SIGNED, {}, 0),
        (None, {"till-1": "a" * 64}, 1),
    ],
    ids=["all", "another key, and a new agent", "anothers key", "nobody", "no roster"],
)
def test_an_agent_is_missing_that_is_not_listed_with_the_key_that_it_has_said(
    roster: Roster | None, said: dict[str, str], missing: int
) -> None:
    assert fit(roster, said) == RosterFit(0 if roster is None else 3, len(said), missing)
