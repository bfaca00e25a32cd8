"""Which version is the newer one."""

import pytest

from agent.update.version_order import newest, version_key


@pytest.mark.parametrize(
    ("older", "newer"),
    [("1.9.0", "1.10.0"), ("1.0.0-rc2", "1.0.0"), ("1.0.0-rc2", "1.0.0-rc10"), ("1.0", "1.0.1"), ("2026-09-30", "2026-11-22"), ("9", "10")],
)
def test_numbers_are_compared_as_numbers_and_a_candidate_is_older_than_its_release(older: str, newer: str) -> None:
    assert version_key(older) < version_key(newer)
    assert newest((newer, older)) == newest((older, newer)) == newer


def test_a_number_written_otherwise_is_not_newer() -> None:
    assert version_key("1.01.0") == version_key("1.1.0")


def test_what_is_no_version_is_passed_over() -> None:
    assert newest(("../../2.0.0", "1.0.0")) == "1.0.0"
    assert newest(("../../2.0.0",)) is None
