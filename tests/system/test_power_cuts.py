"""The power is cut at random points of updates, while prompts are answered, on a disk that forgets what was not synced."""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.fakes.forgetful_filesystem import HOW_TO_GET_IT, MountedDisk, is_there, mounted_disk
from tests.fakes.versions import make_version

ROOT = Path(__file__).parents[2]
UPDATES_A_RUN = 8
MOST_CHANGES = 900
"""Of the disk, before the power is cut. A run with all of its updates makes more."""


class History:
    """What the agent has said, and what must hold of it."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.answered: dict[str, str] = {}
        self.delivered: set[str] = set()
        self.kept: dict[str, str] = {}
        self.proven = 0
        self.seconds: list[float] = []
        self.fallbacks = 0
        self.failures: list[str] = []
        self.has_ended = False
        self._digests: dict[int, str] = {}

    def begin_run(self) -> None:
        self.kept.clear()
        self.failures.clear()
        self.has_ended = False
        self._known = {**self.answered}

    def hear(self, said: dict[str, Any]) -> None:
        match said:
            case {"taken": str(prompt)}:
                self.taken.add(prompt)
            case {"answered": str(prompt), "text": str(text)}:
                self.check_whole(text)
                self.answered[prompt] = text
            case {"delivering": str(prompt)}:
                self.delivered.add(prompt)
            case {"kept": str(prompt), "text": str(text)}:
                self.kept[prompt] = text
            case {"found": _, "problems": list(problems)}:
                assert problems == [], "a power cut has damaged what serves"
            case {"serving": str(text), "seconds": float(seconds)}:
                self.check_started(text)
                self.seconds.append(seconds)
            case {"proven": str(version)}:
                self.proven = int(version)
            case {"failed": str(why)}:
                self.failures.append(why)
            case {"ended": _}:
                self.has_ended = True

    def check_whole(self, text: str) -> int:
        """An answer is from one version, and from every byte of it."""
        version, digest = text.split()
        number = int(version)
        if number not in self._digests:
            self._digests[number] = make_version(number, 60_000).digest
        assert digest == self._digests[number], f"torn or mixed: version {version}"
        return number

    def check_started(self, text: str) -> None:
        """A verified version serves, none older than the proven one; and what was answered is still there, unless it is delivered."""
        assert self.check_whole(text) >= self.proven
        lost = {prompt for prompt in self._known if prompt not in self.delivered} - set(self.kept)
        assert not lost, f"acknowledged and lost: {sorted(lost)}"
        changed = {prompt for prompt, kept in self.kept.items() if self.answered.get(prompt, kept) != kept}
        assert not changed
        self.answered.update(self.kept)


class Runner:
    """Starts the agent again and again."""

    def __init__(self, disk: MountedDisk, process: "subprocess.Popen[str]") -> None:
        self._disk = disk
        self._process = process

    def run(self, number: int, updates: int, history: History) -> None:
        """Runs the agent until it ends, as it does where its disk has no power."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        history.begin_run()
        self._process.stdin.write(f"{self._disk.folder} {number} {updates}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            said = json.loads(line)
            if "over" in said:
                return
            history.hear(said)


@contextmanager
def running(disk: MountedDisk, log_file: Path) -> Iterator[Runner]:
    command = [sys.executable, "-m", "tests.system.updating_agent"]
    with (
        log_file.open("w") as log,
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        yield Runner(disk, process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def cut_often(folder: Path, cuts: int, seed: int) -> None:
    """Cuts the power so often; prints how long the agent took to answer after each."""
    random, history = Random(seed), History()
    with mounted_disk(folder / "disk", seed) as disk, running(disk, folder / "agent.log") as runner:
        done = 0
        number = 0
        while done < cuts:
            number += 1
            disk.cut_after(random.randrange(MOST_CHANGES))
            runner.run(number, UPDATES_A_RUN, history)
            if disk.is_cut():
                done += 1
            else:
                assert history.has_ended, f"the agent failed with its disk whole: {history.failures}"
            disk.cut()
        number += 1
        runner.run(number, 1, history)
        assert history.has_ended, history.failures
        runner.run(number + 1, 0, history)
    assert history.taken <= set(history.answered), "taken, and never answered"
    assert history.proven > 1, "no update went through"
    print(
        f"\n{cuts} cuts; {len(history.answered)} answers, the last version is {history.proven}; after a restart the first answer came"
        f" within {max(history.seconds):.2f} s, median {statistics.median(history.seconds):.2f} s"
    )


@pytest.fixture(autouse=True)
def fuse() -> None:
    if not is_there():
        pytest.skip(HOW_TO_GET_IT)


def test_20_power_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    cut_often(tmp_path, 20, seed=4)


@pytest.mark.system
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_100_power_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path, seed: int) -> None:
    """Seed 0: nothing unsynced is kept; else a random part of it is, in another order."""
    cut_often(tmp_path, 100, seed)
