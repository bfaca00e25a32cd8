"""What of the cloud's text is shown, what is withheld, and how much waits."""

from collections.abc import AsyncGenerator, Iterable, Iterator
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.escalation import Completion, EscalationFailed
from agent.output_rules import LONGEST_WORD_CHARACTERS, Denied, Screen, build_rules, screened

KEY = "sk-" + "k" * 20
RULES = build_rules(lambda text: KEY in text, ["Project Heron"])
DONE = Completion("cloud", "public", "eu", "big", 3, 4, "stop")
FAR = "word " * 100


async def answer(*pieces: str) -> AsyncGenerator[str | Completion, None]:
    for piece in pieces:
        yield piece
    yield DONE


async def shown(*pieces: str) -> tuple[str, Completion]:
    *texts, last = [piece async for piece in screened(answer(*pieces), RULES)]
    assert isinstance(last, Completion)
    return "".join(str(text) for text in texts), last


async def test_a_text_that_breaks_no_rule_is_shown_as_it_is() -> None:
    assert await shown("All ", "is\n", "well.") == ("All is\nwell.", DONE)


@pytest.mark.parametrize(("text", "rule"), [(f"Use {KEY} now", "output-secret"), ("about PROJECT\n heron, then", "output-denied")])
async def test_a_text_that_may_not_be_shown_is_not_begun(text: str, rule: str) -> None:
    with pytest.raises(EscalationFailed) as caught:
        await shown(*text)
    assert (caught.value.why, caught.value.sent) == (rule, True)


async def test_a_text_that_has_begun_ends_before_what_may_not_be_shown() -> None:
    text, last = await shown(FAR, *f"The key is {KEY} and so on")
    assert FAR.startswith(text.strip())
    assert (last.finish_reason, last.notes, last.provider) == ("content_filter", ("output-secret",), "cloud")


async def test_a_licences_header_is_shown_and_noted_once() -> None:
    text, last = await shown("# SPDX-License-Identifier: MIT\n", FAR, "# Licensed under the  Apache\nLicense, Version 2.0")
    assert text.endswith("Version 2.0")
    assert (last.notes, last.finish_reason) == (("output-licence",), "stop")


def test_no_more_waits_than_the_longest_forbidden_phrase_and_a_word() -> None:
    given = Screen(RULES).feed("word " * 1000)
    assert 5000 - len(given) <= 2 * len("Project Heron") + len("word ")
    assert Screen(build_rules(lambda _: False)).feed("one two thr") == "one two"
    assert Screen(()).feed("hal") == "hal"


def test_a_header_is_noted_though_its_beginning_was_shown_long_ago() -> None:
    screen = Screen(build_rules(lambda _: False))
    for word in ("Permission ", "is hereby ", "granted, free ", "of charge, ", "to any ", "person\n"):
        screen.feed(word)
    screen.end()
    assert screen.notes == ("output-licence",)


def test_a_run_without_a_space_does_not_wait_for_ever() -> None:
    screen = Screen(RULES)
    assert len(screen.feed("x" * 3 * LONGEST_WORD_CHARACTERS)) >= LONGEST_WORD_CHARACTERS


def passing(pieces: Iterable[str]) -> Iterator[str]:
    screen = Screen(RULES)
    yield from (screen.feed(piece) for piece in pieces)
    yield screen.end()


@given(
    st.integers(0, 400), st.sampled_from([KEY, "project  heron", "Project\nHeron"]), st.lists(st.integers(1, 9), min_size=1, max_size=40)
)
def test_wherever_the_stream_is_cut_nothing_of_what_is_denied_is_shown(before: int, denied: str, cuts: list[int]) -> None:
    text = "w " * before + denied + " more words"
    places = [*accumulate(cuts, initial=0), len(text)]
    passed: list[str] = []
    with pytest.raises(Denied):
        passed.extend(passing(text[start:end] for start, end in pairwise(places)))
    assert len("".join(passed)) <= 2 * before
