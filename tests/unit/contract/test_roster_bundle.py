"""What a signed roster is made of."""

import pytest

from contract.errors import Reason
from contract.roster_bundle import ROSTER_FILE, check_roster_bundle, check_roster_names
from contract.secagg.roster import MOST_BYTES, Roster
from tests.fakes.secagg_cohort import refused

ROSTER = Roster(7, {"plant-7": "a" * 64})


def test_a_roster_is_read_under_its_own_version() -> None:
    assert check_roster_bundle({ROSTER_FILE: ROSTER.to_json()}, "7") == ROSTER


@pytest.mark.parametrize("version", ["8", "07", "7.0", ""])
def test_a_roster_that_is_signed_as_another_version_is_refused(version: str) -> None:
    with refused(Reason.ROSTER_INVALID):
        check_roster_bundle({ROSTER_FILE: ROSTER.to_json()}, version)


@pytest.mark.parametrize("sizes", [{}, {"other.json": 1}, {ROSTER_FILE: 1, "other.json": 1}, {ROSTER_FILE: MOST_BYTES + 1}])
def test_other_files_and_too_large_ones_are_refused_before_they_are_fetched(sizes: dict[str, int]) -> None:
    with refused(Reason.ROSTER_INVALID):
        check_roster_names(sizes)


def test_what_is_no_roster_is_refused() -> None:
    with refused(Reason.ROSTER_INVALID):
        check_roster_bundle({ROSTER_FILE: b"{}"}, "7")
