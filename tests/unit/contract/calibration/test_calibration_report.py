"""Sums on their way to who signs: read as they were written, and never held against a map that devices did not have."""

import json
from random import Random
from typing import Any

import pytest

from benchmarks.calibration_fleet import made_up_fleet
from contract.calibration.cohorts import CohortSum
from contract.calibration.maps import CONFIDENCE, NO_CALIBRATIONS, SAME, SIMILARITY, Calibrations, Fitted, Map
from contract.calibration.report import MOST_BYTES, Report
from contract.calibration.sums import schema_digest, tally
from contract.errors import InvalidRequest, Reason

MODEL = "sha256:" + "a" * 64


def summed(in_force: Map = SAME, devices: int = 20) -> Report:
    random = Random(1)
    vectors = [tally(CONFIDENCE, in_force, site.window(random)) for site in made_up_fleet(devices, random)]
    cohort = CohortSum(devices, tuple(map(sum, zip(*vectors, strict=True))), 2.5)
    return Report(CONFIDENCE, MODEL, schema_digest(CONFIDENCE, MODEL, in_force), (cohort,))


def test_sums_are_read_as_they_were_written() -> None:
    assert Report.from_json(summed().to_json()) == summed()


def test_the_next_map_stands_beside_those_of_other_models() -> None:
    other = Fitted(SIMILARITY, "sha256:other", Map(2.0, 0.5), 10)
    step, calibrations = summed().next_map(Calibrations((other,)))
    assert calibrations.of(CONFIDENCE, MODEL) == step.map != SAME
    assert calibrations.of(SIMILARITY, "sha256:other") == other.map
    assert Report.from_json(summed(step.map).to_json()).next_map(calibrations)[0].before == step.map


def test_sums_under_another_map_than_the_one_in_force_are_refused() -> None:
    step, calibrations = summed().next_map(NO_CALIBRATIONS)
    for report, in_force in ((summed(), calibrations), (summed(step.map), NO_CALIBRATIONS)):
        with pytest.raises(InvalidRequest, match="another map") as refused:
            report.next_map(in_force)
        assert refused.value.reason is Reason.CALIBRATION_INVALID


def changed(**changes: Any) -> bytes:
    fields = json.loads(summed().to_json())
    cohort = fields["sums"][0] | {name: changes.pop(name) for name in ("devices", "variance", "values", "name") if name in changes}
    return json.dumps(fields | {"sums": [cohort]} | changes).encode()


def test_the_sums_that_are_broken_below_are_good() -> None:
    assert Report.from_json(changed()) == summed()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 100_000,
        b"[]",
        b" " * (MOST_BYTES + 1),
        changed(format_version=2),
        changed(more=1),
        changed(of="temper"),
        changed(model=None),
        changed(schema="no hex"),
        changed(schema=5),
        changed(sums=5),
        changed(devices="20"),
        changed(variance=-1.0),
        changed(variance=float("nan")),
        changed(values=[0.5] * 18),
        changed(values=[2**64] * 18),
        changed(name="agent-1"),
    ],
    ids=range(17),
)
def test_sums_that_are_not_as_they_should_be_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Report.from_json(content)
    assert refused.value.reason is Reason.CALIBRATION_INVALID
