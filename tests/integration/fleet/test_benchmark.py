"""The fleet benchmark, with few agents: that all of it happens, not how fast."""

import json
import subprocess
import sys

KEYS = [
    "agents",
    "heartbeat_p99_milliseconds",
    "cpu_ratio_to_echo",
    "memory_ratio_to_echo",
    "commands_seconds",
    "commands_kept_seconds",
    "storm_seconds",
    "errors",
]


def run_benchmark(*arguments: str, most_files: int | None = None) -> subprocess.CompletedProcess[str]:
    """Limited by a program of its own: a fork of this process would wake what gRPC has in it."""
    limit = [] if most_files is None else ["prlimit", f"--nofile={most_files}"]
    command = [*limit, sys.executable, "-m", "benchmarks.fleet", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)


def test_all_phases_run_without_an_error_and_the_last_line_is_json() -> None:
    done = run_benchmark("--agents=20", "--heartbeat-seconds=1", "--commands=10", "--processes=2", "--sigkill")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert list(figures) == KEYS
    assert (figures["agents"], figures["errors"]) == (20, 0), done.stdout
    assert all(figures[key] > 0 for key in KEYS[:-1])


def test_too_low_a_limit_of_open_files_is_said_before_anything_begins() -> None:
    done = run_benchmark("--agents=500", most_files=600)
    assert done.returncode == 1
    assert "Raise the hard limit" in done.stderr
    assert "--agents 300" in done.stderr
    assert not done.stdout
