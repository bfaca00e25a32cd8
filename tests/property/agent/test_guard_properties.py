"""The guard is the same both ways and never fails; a question passes with itself and its harmless rewritings, and with no other."""

from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.cache.guard import refusal

PLACES = st.sampled_from(["Oslo", "Bergen", "Lima", "Quito", "Turin"])
VERBS = st.sampled_from(["open", "reset", "enable", "replace", "clean", "connect", "lock"])
THINGS = st.sampled_from(["pump", "till", "router", "boiler", "door", "printer", "valve"])
NUMBERS = st.integers(2, 9999)
WAYS = st.sampled_from(["How do I", "How can I", "How do you", "How to", "What is the best way to", "how could i", "Please, how do I"])
OPPOSITES = {"open": "close", "enable": "disable", "connect": "disconnect", "lock": "unlock"}

OBJECT = {"I": "me", "you": "you", "he": "him", "she": "her", "they": "them", "we": "us", "it": "it", "Ann": "Ann", "the pump": "the pump"}
PERSONS, ACTS = st.sampled_from(sorted(OBJECT)), st.sampled_from(["text", "pay", "see", "hurt", "trust"])
ASKED = ["Should", "Can", "Must", "Why should", "When can", "How can"]
DECIMALS = st.from_regex(r"[1-9]?\.[0-9]{1,2}|[1-9][0-9]?", fullmatch=True)
UNITS = st.sampled_from(["mg", "g", "mW", "MW", "kW", "mV", "MV", "mPa", "MPa", "Mb", "MB", "mF", "MF", "Mg"])
PREPOSITIONS = st.sampled_from(
    ["to", "for", "with", "about", "as", "at", "into", "on", "by", "from", "in", "against", "without", "through", "near"]
)
FORMULAS = st.from_regex(r"\*{0,2}[xX] [-+*/] \(?[2-4]\)? ?[-+*/] \(?[xX2]\)?", fullmatch=True)


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


@given(PERSONS, PERSONS, ACTS, st.sampled_from(ASKED))
def test_who_does_what_to_whom_may_not_be_turned_round(one: str, other: str, act: str, asked: str) -> None:
    there, back = f"{asked} {one} {act} {OBJECT[other]}?", f"{asked} {other} {act} {OBJECT[one]}?"
    assert (refusal(there, back) is None) == (one == other)


@given(DECIMALS, DECIMALS, UNITS)
def test_amounts_pass_only_where_they_are_written_alike_or_are_the_same(one: str, other: str, unit: str) -> None:
    first, second = (f"Is ({number} {unit} of salt) a safe dose?" for number in (one, other))
    assert refusal(first, second) is None or Fraction(one) != Fraction(other) or one.endswith("0") or other.endswith("0")
    assert refusal(first, second) is not None or Fraction(one) == Fraction(other)


@given(st.integers(1, 40), st.integers(1, 40))
def test_versions_pass_only_with_themselves(one: int, other: int) -> None:
    assert (refusal(f"What is new in Python 3.{one}?", f"What is new in Python 3.{other}?") is None) == (one == other)


@given(NUMBERS, UNITS, UNITS)
def test_a_unit_in_another_case_is_another_unit(number: int, one: str, other: str) -> None:
    first, second = (f"Is {number} {unit} much?" for unit in (one, other))
    assert (refusal(first, second) is None) == (one == other)


@given(FORMULAS, FORMULAS)
def test_formulas_pass_only_where_every_mark_is_the_same(one: str, other: str) -> None:
    assert (refusal(f"What is {one} in Python?", f"What is {other} in Python?") is None) == (one == other)


@given(PREPOSITIONS, PREPOSITIONS, THINGS)
def test_another_preposition_is_another_role(one: str, other: str, thing: str) -> None:
    first, second = (f"What can I do {way} the {thing}?" for way in (one, other))
    assert (refusal(first, second) is None) == (one == other)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300), st.text(max_size=300))
@example("N'T", "Why don't pumps hum?")
def test_no_text_makes_it_fail_and_it_says_the_same_both_ways(one: str, other: str) -> None:
    assert refusal(one, other) == refusal(other, one)


@pytest.mark.system
@settings(max_examples=20_000, deadline=None)
@given(st.text(max_size=1500), st.text(max_size=1500))
def test_no_text_makes_it_fail_in_thousands_of_runs(one: str, other: str) -> None:
    assert refusal(one, other) == refusal(other, one)
