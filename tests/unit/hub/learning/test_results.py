"""What was learnt of a week, by group."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from contract.privacy_account import epsilon
from contract.subjects import USAGE, Confidence
from contract.usage import CELLS, SCHEMA_VERSION
from hub.learning.results import DELTA, merge
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


def test_a_cohort_of_several_groups_has_no_value_of_theirs() -> None:
    mixed = replace(cohort("a", "eu", 8, 5), group={})
    [found] = merge([round_of(mixed)], SCHEMA_VERSION, ["model"])
    assert found.group == ()
