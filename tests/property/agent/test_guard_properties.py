"""The guard is the same both ways and never fails; a question passes with itself and its harmless rewritings, and with no other."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.cache.guard import refusal

PLACES = st.sampled_from(["Oslo", "Bergen", "Lima", "Quito", "Turin"])
VERBS = st.sampled_from(["open", "reset", "enable", "replace", "clean", "connect", "lock"])
THINGS = st.sampled_from(["pump", "till", "router", "boiler", "door", "printer", "valve"])
NUMBERS = st.integers(2, 9999)
WAYS = st.sampled_from(["How do I", "How can I", "How do you", "How to", "What is the best way to", "how could i", "Please, how do I"])
OPPOSITES = {"open": "close", "enable": "disable", "connect": "disconnect", "lock": "unlock"}


@st.composite
def questions(draw: st.DrawFn, way: str = "How do I") -> str:
    return f"{way} {draw(VERBS)} the {draw(THINGS)} number {draw(NUMBERS)} in {draw(PLACES)}?"


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_two_texts_are_judged_the_same_both_ways_and_without_an_error(one: str, other: str) -> None:
    assert refusal(one, other) == refusal(other, one)


@given(st.text(max_size=300))
def test_a_text_passes_with_itself(text: str) -> None:
    assert refusal(text, text) is None


@given(questions(), questions())
def test_of_two_questions_only_the_same_pass(one: str, other: str) -> None:
    assert (refusal(one, other) is None) == (one == other)


@given(questions(), WAYS)
def test_another_way_of_asking_for_the_way_passes(question: str, way: str) -> None:
    assert refusal(question, question.replace("How do I", way)) is None


@given(questions())
def test_capitals_spaces_and_marks_change_nothing(question: str) -> None:
    for harmless in (question.lower(), question.upper(), f"  {question.replace(' ', '  ')} ", question.rstrip("?"), f"{question}??"):
        assert refusal(question, harmless) is None


@given(questions(), st.sampled_from(["not", "never"]))
def test_a_negation_is_refused(question: str, negation: str) -> None:
    assert refusal(question, question.replace("How do I", f"How do I {negation}")) is not None


@given(questions(), st.sampled_from(["Why do I", "When do I", "Where do I", "Should I", "Did I", "How often do I"]))
def test_another_question_about_the_same_is_refused(question: str, asked: str) -> None:
    assert refusal(question, question.replace("How do I", asked)) is not None


@given(st.sampled_from(sorted(OPPOSITES)), THINGS)
def test_the_opposite_is_refused(verb: str, thing: str) -> None:
    assert refusal(f"How do I {verb} the {thing}?", f"How do I {OPPOSITES[verb]} the {thing}?") == "opposite"


@given(PLACES, PLACES)
def test_the_way_back_is_refused(one: str, other: str) -> None:
    there, back = (f"How do I get from {start} to {end}?" for start, end in ((one, other), (other, one)))
    assert (refusal(there, back) is None) == (one == other)


@given(questions(), st.sampled_from(["without tools", "at night", "safely online", "for children"]))
def test_what_is_asked_besides_is_refused(question: str, more: str) -> None:
    assert refusal(question, question.replace("?", f" {more}?")) is not None


@pytest.mark.system
@settings(max_examples=20_000, deadline=None)
@given(st.text(max_size=1500), st.text(max_size=1500))
def test_no_text_makes_it_fail(one: str, other: str) -> None:
    assert refusal(one, other) == refusal(other, one)
