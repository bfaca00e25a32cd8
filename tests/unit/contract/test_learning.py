"""What device and hub agree on: weeks, and the noise of a sum."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from contract.errors import Reason
from contract.learning import (
    NOISE_MULTIPLIER,
    WINDOWS_KEPT,
    noise_of,
    rho_of,
    schema,
    span,
    terms,
    window_before,
    window_of,
    windows_over,
)
from contract.privacy_account import epsilon
from contract.secagg.messages import Plan
from contract.secagg.rules import check_terms, least_threshold
from contract.subjects import USAGE, Confidence, Subject
from tests.fakes.secagg_cohort import refused

CONFIDENCE = Confidence("sha256:" + "a" * 64)


def plan(size: int, is_exact: bool = False, subject: Subject = USAGE) -> Plan:
    asked = terms(subject, "2026-W48", is_exact)
    names = tuple(f"agent-{number:02}" for number in range(size))
    return Plan(bytes(32), asked.window, asked.schema, asked.entries, asked.scale_bits, least_threshold(size), 1, bytes(32), names)


def test_the_schema_is_pinned_and_one_without_noise_is_another() -> None:
    assert schema(USAGE, is_exact=False).hex() == "83c1ab962e09ccbe55a09978a25d5b68341cf386f8b455ae24133cb49ce4e45a"
    assert schema(USAGE, is_exact=True).hex() == "70c2fc1945935321a5f789ae0f7eca9b60190bfed80a1a66a41ac28ddad51a1a"
    assert USAGE.entries <= 1024


def test_who_would_add_noise_refuses_a_plan_without() -> None:
    check_terms(plan(8), terms(USAGE, "2026-W48", is_exact=False))
    with refused(Reason.SCHEMA_UNKNOWN):
        check_terms(plan(8, is_exact=True), terms(USAGE, "2026-W48", is_exact=False))


@pytest.mark.parametrize("subject", [USAGE, CONFIDENCE])
@pytest.mark.parametrize("size", [4, 8, 20, 33, 64])
def test_a_sum_costs_the_same_in_a_cohort_of_any_size_whatever_it_is_of(size: int, subject: Subject) -> None:
    asked = plan(size, subject=subject)
    assert rho_of(subject, asked) == pytest.approx(1 / (2 * NOISE_MULTIPLIER**2))
    noise = noise_of(subject, asked)
    assert float(noise.variance) ** 0.5 == NOISE_MULTIPLIER * subject.norm


def test_49_weeks_cost_10_and_a_50th_costs_more() -> None:
    rho = rho_of(USAGE, plan(20))
    assert epsilon(rho, 1e-6) < 1.2
    assert epsilon(49 * rho, 1e-6) < 10 < epsilon(50 * rho, 1e-6)


@pytest.mark.parametrize(
    ("time", "window"),
    [
        (datetime(2026, 11, 28, 12, tzinfo=UTC), "2026-W48"),
        (datetime(2026, 11, 30, 0, 30, tzinfo=timezone(timedelta(hours=1))), "2026-W48"),
        (datetime(2027, 1, 3, tzinfo=UTC), "2026-W53"),
        (datetime(2025, 12, 29, tzinfo=UTC), "2026-W01"),
    ],
)
def test_a_time_lies_in_the_week_of_iso_8601_in_utc(time: datetime, window: str) -> None:
    assert window_of(time) == window
    begin, end = span(window)
    assert begin <= time < end
    assert end - begin == timedelta(days=7)


def test_the_windows_that_can_be_reported_are_over_and_the_newest_is_first() -> None:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    windows = windows_over(now)
    assert windows == ("2026-W01", "2025-W52", "2025-W51", "2025-W50")
    assert len(windows) == WINDOWS_KEPT
    assert all(span(window)[1] <= now for window in windows)
    assert "2026-W01" not in windows_over(now - timedelta(seconds=1))


def test_the_week_before_is_that_of_the_year_before_where_there_is_none_in_its_own() -> None:
    assert [window_before(window) for window in ("2026-W48", "2026-W01", "2027-W01")] == ["2026-W47", "2025-W52", "2026-W53"]


def test_before_the_first_week_there_is_none_and_before_what_is_no_week_nothing_is() -> None:
    assert [window_before(window) for window in ("0001-W02", "0001-W01")] == ["0001-W01", ""]
    with refused(Reason.FIELD_INVALID):
        window_before("2026-W54")


@pytest.mark.parametrize("window", ["", "2026-W54", "2025-W53", "2026-W00", "2026-48", "0000-W01", "9999-W99", "2026-W48 ", "٢٠٢٦-W48"])
def test_what_is_no_week_is_refused(window: str) -> None:
    with refused(Reason.FIELD_INVALID):
        span(window)
