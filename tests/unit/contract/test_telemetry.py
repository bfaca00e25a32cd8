"""Names of metrics."""

import re

from contract import telemetry


def test_every_name_is_one_that_prometheus_takes() -> None:
    names = [value for name, value in vars(telemetry).items() if name.isupper() and isinstance(value, str)]
    assert len(names) > 5
    for name in names:
        assert re.fullmatch(r"[a-z_][a-z0-9_]*", telemetry.label(name))


def test_buckets_rise() -> None:
    buckets = telemetry.DURATION_BUCKETS_SECONDS
    assert list(buckets) == sorted(set(buckets))
