"""What was found is remembered by a keyed digest, and no text with it."""

import pytest

from agent.detection.memory import Memory, memory_key
from contract.classification import Finding

FOUND = (Finding(0, 3, "PERSON"),)


class Finder:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, text: str) -> tuple[Finding, ...]:
        self.asked.append(text)
        if text == "fail":
            raise ValueError("failed")
        return FOUND


def test_a_text_that_comes_again_is_not_looked_through_again() -> None:
    memory, find = Memory(bytes(32)), Finder()
    assert [memory.recall(text, find) for text in ("one", "two", "one", "\ud800", "\ud800")] == [FOUND] * 5
    assert find.asked == ["one", "two", "\ud800"]


def test_the_texts_seen_longest_ago_are_forgotten_first() -> None:
    memory, find = Memory(bytes(32), most_texts=2), Finder()
    for text in ("one", "two", "one", "three", "one", "two"):
        memory.recall(text, find)
    assert find.asked == ["one", "two", "three", "two"]


def test_what_fails_is_asked_again() -> None:
    memory, find = Memory(bytes(32)), Finder()
    for _ in range(2):
        with pytest.raises(ValueError, match="failed"):
            memory.recall("fail", find)
    assert find.asked == ["fail", "fail"]


def test_another_purpose_is_another_memory() -> None:
    memory, find = Memory(bytes(32)), Finder()
    memory.recall("one", find)
    memory.recall("one", find, b"seam")
    assert find.asked == ["one", "one"]


def test_nothing_of_a_text_is_kept() -> None:
    memory = Memory(bytes(32))
    memory.recall("a secret text", Finder())
    assert "secret" not in repr(vars(memory))


def test_the_memorys_key_is_not_the_devices() -> None:
    assert memory_key(bytes(32)) != bytes(32)
    assert memory_key(bytes(32)) != memory_key(bytes(31) + b"\1")
