"""What was learnt of a week, by group."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from contract.privacy_account import epsilon
from contract.subjects import USAGE, Confidence
from contract.usage import CELLS, SCHEMA_VERSION
from hub.learning.results import DELTA, held_against, merge
from hub.store.learning import FAILED, SUCCEEDED, CohortRecord, RoundRecord

NOW = datetime(2026, 11, 28, tzinfo=UTC)


def cohort(model: str, region: str, contributors: int, first: int) -> CohortRecord:
    sums = (first, *[0] * (USAGE.entries - 1))
    return CohortRecord({"model": model, "labels.region": region}, 8, 6, SUCCEEDED, "", "UNMASKING", {}, contributors, 0.5, 100.0, sums)


def round_of(*cohorts: CohortRecord, schema_version: int = SCHEMA_VERSION) -> RoundRecord:
    by = ("model", "labels.region")
    return RoundRecord("w", "2026-W47", by, False, schema_version, 1, "", NOW, "r", SUCCEEDED, cohorts=cohorts)


ROUNDS = [round_of(cohort("a", "eu", 8, 10), cohort("a", "us", 7, 20)), round_of(cohort("b", "eu", 6, -3))]


def test_sums_of_confidence_are_added_to_none_of_use() -> None:
    subject = Confidence("sha256:" + "a" * 64)
    sums = replace(cohort("a", "eu", 8, 10), sums=(1,) * subject.entries)
    assert merge([replace(round_of(sums), subject=subject)], SCHEMA_VERSION, []) == []
    assert merge([*ROUNDS, replace(round_of(sums), subject=subject)], SCHEMA_VERSION, []) == merge(ROUNDS, SCHEMA_VERSION, [])


def test_sums_add_up_by_what_is_asked_for_without_another_round() -> None:
    [everything] = merge(ROUNDS, SCHEMA_VERSION, [])
    assert (everything.group, everything.contributors, everything.cohorts, everything.sums[CELLS[0]]) == ((), 21, 3, 27)
    by_model = {group.group: group.sums[CELLS[0]] for group in merge(ROUNDS, SCHEMA_VERSION, ["model"])}
    assert by_model == {(("model", "a"),): 30, (("model", "b"),): -3}
    by_region = {group.group[0][1]: group.contributors for group in merge(ROUNDS, SCHEMA_VERSION, ["labels.region"])}
    assert by_region == {"eu": 14, "us": 7}


def test_noise_adds_up_and_what_it_costs_an_agent_does_not() -> None:
    [everything] = merge(ROUNDS, SCHEMA_VERSION, [])
    assert everything.standard_deviation == pytest.approx(300**0.5)
    assert everything.epsilon == epsilon(0.5, DELTA)


def test_where_one_sum_bears_no_noise_there_is_no_epsilon() -> None:
    exact = replace(cohort("a", "eu", 8, 1), rho=0.0, variance=0.0)
    [found] = merge([round_of(exact, cohort("a", "eu", 8, 1))], SCHEMA_VERSION, [])
    assert found.epsilon is None


def test_failed_cohorts_and_those_of_another_schema_are_left_out() -> None:
    failed = replace(cohort("a", "eu", 0, 0), state=FAILED, sums=())
    [found] = merge([round_of(failed, cohort("a", "eu", 8, 5)), round_of(cohort("a", "eu", 8, 1), schema_version=1)], SCHEMA_VERSION, [])
    assert (found.contributors, found.sums[CELLS[0]]) == (8, 5)
    assert merge([round_of(failed)], SCHEMA_VERSION, []) == []


def reasons(by: str, *before: CohortRecord) -> dict[str, str]:
    """Why of each group no drift is known."""
    held = held_against(merge(ROUNDS, SCHEMA_VERSION, [by]), merge([round_of(*before)], SCHEMA_VERSION, [by]), "2026-W46")
    assert all(group.drift is None for group in held)
    return {group.group[0][1]: group.no_drift_reason for group in held}


def test_where_there_is_no_report_of_the_other_week_or_of_the_group_in_it_that_is_said_and_not_that_prompts_are_few() -> None:
    none, few = "there is no report of 2026-W46", "in one of the weeks too few prompts were seen to say"
    assert reasons("labels.region") == {"eu": none, "us": none}
    assert reasons("labels.region", cohort("a", "eu", 8, 1)) == {"eu": few, "us": "2026-W46 has no report of these agents"}
    assert reasons("model", cohort("a", "eu", 8, 1), cohort("b", "us", 8, 1)) == {"a": few, "b": few}


def test_where_drift_is_known_there_is_no_reason_beside_it() -> None:
    cells = dict.fromkeys(CELLS, 0) | {cell: 100 for cell in CELLS if cell.startswith("drift.")}
    many = replace(cohort("a", "eu", 8, 1), sums=tuple(cells.values()), variance=0.0)
    [week] = merge([round_of(many)], SCHEMA_VERSION, [])
    [held] = held_against([week], [week], "2026-W46")
    assert held.drift is not None
    assert held.no_drift_reason == ""


def test_a_cohort_of_several_groups_has_no_value_of_theirs() -> None:
    mixed = replace(cohort("a", "eu", 8, 5), group={})
    [found] = merge([round_of(mixed)], SCHEMA_VERSION, ["model"])
    assert found.group == ()
