import os
from pathlib import Path

import pytest

from agent.inference.machine import free_memory_bytes, power_watts, processors, resident_bytes, temperature_celsius

MEBIBYTE = 1 << 20


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def meminfo(mebibytes: int) -> dict[str, str]:
    return {"proc/meminfo": f"MemTotal: 99999999 kB\nMemFree: 1 kB\nMemAvailable: {mebibytes * 1024} kB\n"}


def test_without_control_groups_it_is_what_the_kernel_calls_available(tmp_path: Path) -> None:
    assert free_memory_bytes(write(tmp_path, meminfo(700))) == 700 * MEBIBYTE


def test_a_v2_limit_of_a_group_above_ours_counts(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            **meminfo(9000),
            "proc/self/cgroup": "0::/machine/seawall\n",
            "sys/fs/cgroup/machine/seawall/memory.max": "max\n",
            "sys/fs/cgroup/machine/seawall/memory.current": "1\n",
            "sys/fs/cgroup/machine/memory.max": f"{512 * MEBIBYTE}\n",
            "sys/fs/cgroup/machine/memory.current": f"{300 * MEBIBYTE}\n",
            "sys/fs/cgroup/machine/memory.stat": f"anon 5\ninactive_file {100 * MEBIBYTE}\n",
        },
    )
    assert free_memory_bytes(root) == 312 * MEBIBYTE


def test_a_v1_limit_counts(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            **meminfo(9000),
            "proc/self/cgroup": "4:memory:/docker/abc\n3:cpuset:/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{400 * MEBIBYTE}\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{150 * MEBIBYTE}\n",
            "sys/fs/cgroup/memory/memory.stat": f"total_inactive_file {50 * MEBIBYTE}\n",
        },
    )
    assert free_memory_bytes(root) == 300 * MEBIBYTE


def test_a_group_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "100\n", "sys/fs/cgroup/memory.current": "200\n"}
    assert free_memory_bytes(write(tmp_path, {**meminfo(100), **files})) == 0


def test_processors_are_those_allowed_to_us_where_no_quota_is(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n"}
    assert processors(write(tmp_path, files)) == len(os.sched_getaffinity(0))


def test_a_quota_bounds_processors_and_one_is_left(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n"}
    assert processors(write(tmp_path, files)) == 1


def test_a_v1_quota_counts_and_minus_one_is_none(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "1:cpu,cpuacct:/x\n"}
    quota = "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us"
    period = {"sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000"}
    assert processors(write(tmp_path / "one", {**files, **period, quota: "100000"})) == 1
    assert processors(write(tmp_path / "none", {**files, **period, quota: "-1"})) == len(os.sched_getaffinity(0))


def test_this_machine_has_some_of_both() -> None:
    assert free_memory_bytes() > 50 * MEBIBYTE
    assert processors() >= 1


def test_the_hottest_zone_counts_and_broken_ones_do_not(tmp_path: Path) -> None:
    assert temperature_celsius(tmp_path) is None
    for number, text in enumerate(("41000\n", "67500\n", "-5000\n", "broken", "")):
        zone = tmp_path / "sys" / "class" / "thermal" / f"thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "temp").write_text(text)
    assert temperature_celsius(tmp_path) == 67.5


HWMON = "sys/class/hwmon/hwmon"


def test_where_nothing_measures_power_there_is_none(tmp_path: Path) -> None:
    assert power_watts(write(tmp_path, {f"{HWMON}0/temp1_input": "41000\n", f"{HWMON}1/power1_input": "broken"})) is None


def test_the_sensor_that_sees_most_counts_for_it_sees_what_the_others_are_parts_of(tmp_path: Path) -> None:
    files = {f"{HWMON}0/power1_average": "9500000\n", f"{HWMON}1/power1_input": "4000000\n", f"{HWMON}1/power2_input": "12250000\n"}
    assert power_watts(write(tmp_path, files)) == 12.25


def rail(number: int, label: str, millivolts: int, milliamperes: int) -> dict[str, str]:
    parts = {f"in{number}_label": label, f"in{number}_input": str(millivolts), f"curr{number}_input": str(milliamperes)}
    return {f"{HWMON}3/{name}": f"{text}\n" for name, text in parts.items()}


@pytest.mark.parametrize("label", ["VDD_IN", "POM_5V_IN"])
def test_on_a_jetson_the_rail_that_feeds_the_board_counts_whatever_else_is_measured(tmp_path: Path, label: str) -> None:
    files = {**rail(1, label, 5000, 1500), **rail(2, "VDD_CPU_GPU_CV", 5000, 900), **rail(3, "VDD_SOC", 5000, 400)}
    assert power_watts(write(tmp_path, {**files, f"{HWMON}0/power1_input": "30000000\n"})) == 7.5


def test_a_rail_whose_current_cannot_be_read_counts_for_nothing(tmp_path: Path) -> None:
    root = write(tmp_path, rail(1, "VDD_IN", 5000, 1500))
    (root / f"{HWMON}3/curr1_input").unlink()
    assert power_watts(root) is None


def test_what_this_process_has_in_memory_grows_with_what_it_takes(tmp_path: Path) -> None:
    before = resident_bytes()
    taken = bytearray(b"x" * (64 << 20))
    assert resident_bytes() - before > len(taken) // 2
    assert resident_bytes(tmp_path) == 0
