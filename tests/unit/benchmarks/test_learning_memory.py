"""What is read of an agent's memory, and what is made of it."""

import os
from pathlib import Path

from benchmarks.learning_memory import Memory, Readings, read_memory

SMAPS_ROLLUP = """55d0c0a3f000-7ffd3d5fe000 ---p 00000000 00:00 0                          [rollup]
Rss:              309000 kB
Pss:              304900 kB
Pss_Anon:         290000 kB
Shared_Clean:       4500 kB
Shared_Dirty:          0 kB
Private_Clean:      1100 kB
Private_Dirty:    303400 kB
"""


def memories(*private: int) -> list[Memory]:
    return [Memory(each, 2 * each) for each in private]


def test_what_a_process_has_for_itself_is_what_is_private_clean_or_not() -> None:
    assert read_memory(SMAPS_ROLLUP) == Memory((1100 + 303400) * 1024, 304900 * 1024)


def test_memory_that_is_taken_shows() -> None:
    rollup = Path(f"/proc/{os.getpid()}/smaps_rollup")
    before = read_memory(rollup.read_text())
    taken = bytearray(os.urandom(1 << 20) * 32)
    after = read_memory(rollup.read_text())
    assert after.private - before.private >= len(taken) * 0.9


def test_growth_is_each_agents_own_and_the_middle_one_counts() -> None:
    off = [memories(100, 101, 101), memories(90, 90, 90), memories(110, 112, 115)]
    learning = [memories(100, 110, 110), memories(200, 205, 206), memories(10, 30, 33)]
    assert Readings(off, learning).figures() == {
        "agent_memory_off_bytes": 100,
        "agent_memory_on_bytes": 100,
        "agent_memory_off_growth_bytes": 1,
        "agent_memory_growth_bytes": 10,
        "agent_memory_second_round_bytes": 1,
    }
    assert Readings(off, learning).table()["learning_private_bytes"] == [100, 110, 110]
    assert Readings(off, learning).table()["learning_growth_bytes"] == [6, 10, 23]
