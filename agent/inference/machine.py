"""What this machine has for us: memory and processors, as the kernel and the control groups (v1 and v2) bound them; its heat and power.

Formats: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst, driver-api/thermal/sysfs-api.rst,
hwmon/sysfs-interface.rst and hwmon/ina3221.rst; proc(5). NVIDIA, Jetson Linux Developer Guide, "Software-Based Power Consumption Modeling".
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")

_BOARD_RAILS = ("VDD_IN", "POM_5V_IN")
"""What all of a Jetson is fed by, as its sensor calls it."""


def free_memory_bytes(root: Path = ROOT) -> int:
    """Returns how much memory this process can still take before it is refused or killed.

    Args:
        root: of the file system that is read.
    """
    rooms = [_available_bytes(root)]
    for folder in _groups(root, "memory"):
        rooms.append(_room_bytes(folder, "memory.max", "memory.current", "inactive_file"))
        rooms.append(_room_bytes(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"))
    return max(0, min(room for room in rooms if room is not None))


def processors(root: Path = ROOT) -> int:
    """Returns how many threads can compute at once: the processors allowed to us, or the quota where that is less; at least 1."""
    counts = [float(len(os.sched_getaffinity(0)))]
    for folder in _groups(root, "cpu"):
        quota, _, period = _words(folder / "cpu.max").partition(" ")
        counts.append(_ratio(quota, period))
        counts.append(_ratio(_words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us")))
    return max(1, math.floor(min(counts)))


def resident_bytes(root: Path = ROOT) -> int:
    """Returns how much of this process lies in memory; proc(5), `statm`."""
    words = _words(root / "proc/self/statm").split()
    return int(words[1]) * os.sysconf("SC_PAGESIZE") if len(words) > 1 else 0


def temperature_celsius(root: Path = ROOT) -> float | None:
    """Returns the temperature of the hottest zone; None: nothing measures it."""
    texts = [_words(zone / "temp") for zone in (root / "sys/class/thermal").glob("thermal_zone*")]
    return max((int(text) / 1000 for text in texts if text.removeprefix("-").isdecimal()), default=None)


def power_watts(root: Path = ROOT) -> float | None:
    """Returns the power that the whole board draws, or else the most that one sensor sees; None: nothing measures it."""
    sensors = list((root / "sys/class/hwmon").glob("hwmon*"))
    boards = [watts for sensor in sensors for watts in _board_watts(sensor)]
    return max(boards or [watts for sensor in sensors for watts in _sensed_watts(sensor)], default=None)


def _board_watts(sensor: Path) -> Iterator[float]:
    """Yields volts times amperes of the rails that feed a board."""
    for label in sensor.glob("in*_label"):
        number = label.name.removeprefix("in").removesuffix("_label")
        millivolts, milliamperes = _words(sensor / f"in{number}_input"), _words(sensor / f"curr{number}_input")
        if _words(label) in _BOARD_RAILS and millivolts.isdecimal() and milliamperes.isdecimal():
            yield int(millivolts) * int(milliamperes) / 1e6


def _sensed_watts(sensor: Path) -> Iterator[float]:
    texts = [_words(file) for pattern in ("power*_input", "power*_average") for file in sensor.glob(pattern)]
    yield from (int(text) / 1e6 for text in texts if text.isdecimal())


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yields the folders of our control groups and of all above them: each can set a limit."""
    for line in _words(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mounts = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"]
        elif controller in controllers.split(","):
            mounts = [root / "sys/fs/cgroup" / controllers]
        else:
            continue
        inside = PurePosixPath(path.lstrip("/"))
        for mount in mounts:
            yield from (mount / part for part in (inside, *inside.parents))


def _room_bytes(folder: Path, limit_file: str, usage_file: str, reclaimable: str) -> int | None:
    limit, usage = _words(folder / limit_file), _words(folder / usage_file)
    if not (limit.isdecimal() and usage.isdecimal()):
        return None
    return int(limit) - int(usage) + _field(folder / "memory.stat", reclaimable)


def _available_bytes(root: Path) -> int | None:
    kibibytes = _field(root / "proc/meminfo", "MemAvailable:")
    return kibibytes * 1024 if kibibytes else None


def _field(path: Path, name: str) -> int:
    for line in _words(path).splitlines():
        words = line.split()
        if words[:1] == [name]:
            return int(words[1])
    return 0


def _ratio(quota: str, period: str) -> float:
    """Returns processors; infinite where the quota is `max`, -1 or not there."""
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else math.inf


def _words(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
