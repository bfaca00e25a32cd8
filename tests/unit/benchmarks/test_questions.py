"""Questions whose answers are known: what counts as right, and that what is called right is."""

import re
from random import Random

import pytest

from benchmarks.questions import Question, yes_or_no
from benchmarks.questions_of_numbers import addition, division, in_words, larger, multiplication, of_numbers, subtraction, to_words
from benchmarks.questions_of_words import alphabet, first_letter, member, of_words, read_pairs, spelled

KINDS = of_numbers() | of_words()
RECKONED = {"plus": int.__add__, "+": int.__add__, "minus": int.__sub__, "-": int.__sub__, "times": int.__mul__, "*": int.__mul__}
WORDS = ("lemon", "camel", "violin")


def asked(kind: str) -> list[Question]:
    return list(KINDS[kind](Random(3)))


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ("It is Paris.", True),
        ("PARIS, France", True),
        ("Parisian", False),
        ("Rome, or Paris", False),
        ("Paris, not Rome", True),
        ("", False),
    ],
)
def test_an_answer_is_right_if_it_names_what_is_right_as_a_word_and_nothing_wrong_before(text: str, is_right: bool) -> None:
    assert Question("What is the capital of France?", ("Paris",), ("Rome",)).is_answered_by(text) is is_right


def test_one_of_several_right_answers_is_enough_also_of_several_words() -> None:
    question = Question("How many grams in a kilogram?", ("1000", "1 000"))
    assert question.is_answered_by("There are 1,000 of them.")
    assert not question.is_answered_by("There are 100 of them.")


@pytest.mark.parametrize("kind", KINDS)
def test_each_right_answer_is_one_and_each_wrong_one_none(kind: str) -> None:
    questions = asked(kind)
    assert len({question.text for question in questions}) >= 40
    for question in questions:
        assert question.right
        assert all(question.is_answered_by(f"I think: {answer}!") for answer in question.right), question
        assert not any(question.is_answered_by(f"I think: {answer}!") for answer in question.wrong), question
        assert not question.is_answered_by("Nobody knows.") or "no" in question.right


def test_what_is_reckoned_is_right() -> None:
    for question in (*addition(Random(1)), *subtraction(Random(1)), *multiplication(Random(1))):
        [(one, sign, other)] = re.findall(r"(\d+) ([a-z*+-]+) (\d+)", question.text)
        assert question.right[0] == str(RECKONED[sign](int(one), int(other)))
    for question in division(Random(1)):
        one, other = map(int, re.findall(r"\d+", question.text))
        assert int(question.right[0]) * other == one


def test_no_answer_that_repeats_the_question_is_right_where_something_is_reckoned() -> None:
    assert not [
        question
        for kind in ("addition", "subtraction", "multiplication", "division")
        for question in asked(kind)
        if question.is_answered_by(question.text)
    ]


def test_the_larger_and_the_smaller_number_are_told_apart() -> None:
    for question in larger(Random(1)):
        right, wrong = int(question.right[0]), int(question.wrong[0])
        assert (right > wrong) == ("larger" in question.text)


def test_numbers_are_written_in_words() -> None:
    assert [in_words(number) for number in (0, 13, 20, 47, 99)] == ["zero", "thirteen", "twenty", "forty-seven", "ninety-nine"]
    assert len({question.right for question in to_words(Random(1))}) == 100


def test_the_first_letter_is_the_words_own_and_none_that_stands_in_every_sentence() -> None:
    assert [question.right for question in first_letter(["apple", *WORDS], Random(1))] == [("l",), ("c",), ("v",)]


def test_of_two_spellings_the_right_one_is_the_lists() -> None:
    for question in spelled(WORDS, Random(1)):
        assert question.right[0] in WORDS
        assert question.wrong[0] not in WORDS
        assert sorted(question.right[0]) == sorted(question.wrong[0])


def test_what_comes_first_in_the_alphabet_is_right() -> None:
    assert all(question.right < question.wrong for question in alphabet(WORDS, Random(1)))


def test_who_is_no_member_is_none_though_the_question_came_of_another_group() -> None:
    groups = {"fruit": ["orange"], "colour": ["orange", "red"]}
    answers = {question.text: question.right[0] for question in member(groups, Random(1))}
    assert answers["Is 'orange' the name of a fruit? Answer yes or no."] == "yes"
    assert answers["Is 'red' the name of a fruit? Answer yes or no."] == "no"
    assert yes_or_no("So?", is_so=True).is_answered_by("No. Yes.") is False


def test_a_list_of_pairs_is_read_with_all_that_is_right() -> None:
    assert read_pairs("\nhot: cold|cool, a to b: c\n") == [("hot", ("cold", "cool")), ("a to b", ("c",))]
